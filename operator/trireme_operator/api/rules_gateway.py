"""Rules on ``spec.gateway``."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.rule import Rule

_PATH = r"^(?:[-A-Za-z0-9/._~!$&\x27()*+,;=:@]|%[0-9a-fA-F]{2})+$"
_HOSTNAME = r"^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_HEADER = "^[A-Za-z0-9!#$%&\\x27*+.^_`|~-]+$"
"""A header's name (RFC 9110, 5.1: a token)."""
_RESERVED: Final = "['host', 'content-length', 'transfer-encoding', 'connection', 'upgrade']"
_BY_QUEUES: Final = (
    "has(self.gateway) && has(self.gateway.balancing) && self.gateway.balancing.acrossZones == 'QueueLength'"
)

RULES: Final = (
    Rule(
        where="spec",
        rule=f"!({_BY_QUEUES}) || has(self.zones) && self.zones.filter(z, z.weight > 0).size() > 1",
        message=(
            "gateway.balancing.acrossZones QueueLength has nothing to move without two zones that have a weight: add"
            " them, or remove gateway.balancing"
        ),
        field=".gateway.balancing.acrossZones",
    ),
    Rule(
        where="spec",
        rule=f"!({_BY_QUEUES}) || !has(self.zones) || self.zones.all(z, z.weight == 0 || z.weight >= 10)",
        message=(
            "a weight below 10 can't be lowered by a tenth, as gateway.balancing.acrossZones QueueLength does: give all"
            " zones ten times their weight, which means the same, or remove gateway.balancing"
        ),
        field=".zones",
    ),
    Rule(
        where="spec.gateway.balancing",
        rule="!has(self.intervalSeconds) || self.acrossZones == 'QueueLength'",
        message=(
            "intervalSeconds has no effect with acrossZones ReadyGroups: remove it, or set acrossZones to QueueLength"
        ),
        field=".intervalSeconds",
    ),
    Rule(
        where="spec.gateway.hostnames[]",
        rule=f"self.matches('{_HOSTNAME}') && !self.matches('^[0-9.]+$')",
        message="must be a DNS name in lower case, with '*.' in front for all names below it; no IP address, no port",
    ),
    Rule(
        where="spec.gateway.paths[]",
        rule=(
            f"self.startsWith('/') && self.matches('{_PATH}') && !self.contains('//') && !self.contains('/./') &&"
            " !self.contains('/../') && !self.endsWith('/..') && !self.endsWith('/.') &&"
            " !self.lowerAscii().contains('%2f')"
        ),
        message="must be an absolute URL path such as /v1, without //, /./, /../ or an encoded slash",
    ),
    Rule(
        where="spec.gateway.requestHeaders[].name",
        rule=f"self.matches('{_HEADER}') && !(self.lowerAscii() in {_RESERVED})",
        message=(
            "must be a header's name, and none that the connection or the gateway needs: host, content-length,"
            " transfer-encoding, connection, upgrade"
        ),
    ),
    Rule(
        where="spec.gateway.timeouts",
        rule=(
            "!has(self.backendRequestSeconds) || !has(self.requestSeconds) || self.requestSeconds == 0 ||"
            " self.backendRequestSeconds > 0 && self.backendRequestSeconds <= self.requestSeconds"
        ),
        message=(
            "backendRequestSeconds, for one try, must not be longer than requestSeconds, for all of them: lower it, or"
            " remove one of the two"
        ),
        field=".backendRequestSeconds",
    ),
)
