"""Rules about autoscaling, and about what of a zone acts with it and without it."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.rule import Rule
from trireme_operator.api.rules_signals import RULES as SIGNAL_RULES

_AUTOSCALED_ZONES = "has(self.autoscaling) && has(self.zones)"
_LEAST = "(has(z.minReplicas) ? z.minReplicas : self.autoscaling.minReplicas)"
_MOST = "(has(z.maxReplicas) ? z.maxReplicas : self.autoscaling.maxReplicas)"
_WRONG_START = f"(has(z.replicas) && (z.replicas < {_LEAST} || z.replicas > {_MOST}))"


def _request_rule(name: str) -> Rule:
    """A percentage is one of the request; Kubernetes takes the limit where a container has no request."""
    amount = f"self.resources.{{}}.{name}"
    request, limit = amount.format("requests"), amount.format("limits")
    has_request = f"has(self.resources.requests) && has({request})"
    has_limit = f"has(self.resources.limits) && has({limit})"
    positive = "quantity(string({})).isGreaterThan(quantity('0'))"
    return Rule(
        where="spec",
        rule=(
            f"!has(self.autoscaling) || !has(self.autoscaling.metrics) || !has(self.autoscaling.metrics.{name}) ||"
            " (has(self.resources) &&"
            f" ({has_request} ? {positive.format(request)} : ({has_limit} && {positive.format(limit)})))"
        ),
        message=(
            f"autoscaling.metrics.{name} is in percent of resources.requests.{name}, which is not set or 0: set it, or"
            f" remove autoscaling.metrics.{name}"
        ),
        field=f".autoscaling.metrics.{name}",
    )


def _disabled_rule(direction: str) -> Rule:
    return Rule(
        where=f"spec.autoscaling.behavior.{direction}",
        rule=(
            "!has(self.selectPolicy) || self.selectPolicy != 'Disabled' || !(has(self.policies) ||"
            " has(self.stabilizationWindowSeconds) || has(self.tolerancePercent))"
        ),
        message=(
            "selectPolicy Disabled ignores policies, stabilizationWindowSeconds and tolerancePercent: remove them, or"
            " choose Max or Min"
        ),
        field=".selectPolicy",
    )


def _ignored_rule(name: str) -> Rule:
    return Rule(
        where="spec",
        rule=f"has(self.autoscaling) || !has(self.zones) || !self.zones.exists(z, has(z.{name}))",
        message=(
            f"zones[].{name} is for autoscaling, which is not set: set spec.autoscaling, or give the zone replicas and"
            f" remove {name}"
        ),
        message_expression=(
            f"'{name} of zone ' + self.zones.map(z, has(z.{name}), z.name)[0] + ' is for autoscaling, which is not set:"
            f" set spec.autoscaling, or give the zone replicas and remove {name}'"
        ),
        field=".zones",
    )


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        where="spec.autoscaling",
        rule="!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
        message="minReplicas must not be greater than maxReplicas: raise maxReplicas or lower minReplicas",
        field=".minReplicas",
    ),
    *SIGNAL_RULES,
    _disabled_rule("scaleUp"),
    _disabled_rule("scaleDown"),
    _request_rule("cpu"),
    _request_rule("memory"),
    _ignored_rule("minReplicas"),
    _ignored_rule("maxReplicas"),
    Rule(
        where="spec",
        rule=f"!({_AUTOSCALED_ZONES}) || self.zones.all(z, {_LEAST} <= {_MOST})",
        message=(
            "a zone's minReplicas is greater than its maxReplicas; what the zone does not set comes from"
            " spec.autoscaling: raise maxReplicas or lower minReplicas"
        ),
        message_expression=(
            f"'minReplicas of zone ' + self.zones.map(z, {_LEAST} > {_MOST}, z.name)[0] + ' is greater than its"
            " maxReplicas; what the zone does not set comes from spec.autoscaling: raise maxReplicas or lower"
            " minReplicas'"
        ),
        field=".zones",
    ),
    Rule(
        where="spec",
        rule=f"!({_AUTOSCALED_ZONES}) || !self.zones.exists(z, {_WRONG_START})",
        message=(
            "with autoscaling a zone's replicas, the number it starts with, must lie between its minReplicas and"
            " maxReplicas: change it or remove it; for no groups at all set the zone's state to Disabled"
        ),
        message_expression=(
            f"'replicas of zone ' + self.zones.map(z, {_WRONG_START}, z.name)[0] + ', the number it starts with, must"
            " lie between its minReplicas and maxReplicas: change it or remove it; for no groups at all set the"
            " state of the zone to Disabled'"
        ),
        field=".zones",
    ),
    Rule(
        where="spec",
        rule=(
            "!has(self.autoscaling) || !has(self.replicas) || (self.replicas >= self.autoscaling.minReplicas &&"
            " self.replicas <= self.autoscaling.maxReplicas)"
        ),
        message=(
            "with autoscaling replicas, the number to start with, must lie between autoscaling.minReplicas and"
            " autoscaling.maxReplicas: change it or remove it"
        ),
        field=".replicas",
    ),
    Rule(
        where="spec",
        rule=(
            "!has(oldSelf.autoscaling) || has(self.autoscaling) ||"
            " (has(self.zones) ? self.zones.all(z, has(z.replicas)) : has(self.replicas))"
        ),
        message=(
            "autoscaling is taken away, and without a number of groups each zone would fall back to 1: say in"
            " zones[].replicas, or in replicas without zones, how many groups stay"
        ),
        field=".autoscaling",
    ),
)
