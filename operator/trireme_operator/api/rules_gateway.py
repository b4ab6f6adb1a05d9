"""Rules on ``spec.gateway``."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.rule import Rule

_PATH = r"^(?:[-A-Za-z0-9/._~!$&\x27()*+,;=:@]|%[0-9a-fA-F]{2})+$"
_HOSTNAME = r"^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_HEADER = "^[A-Za-z0-9!#$%&\\x27*+.^_`|~-]+$"
"""A header's name (RFC 9110, 5.1: a token)."""
_RESERVED: Final = "['host', 'content-length', 'transfer-encoding', 'connection', 'upgrade']"

RULES: Final = (
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
