"""Rules about what an autoscaler goes by: its metrics, who serves them, and what can be asked for together."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.rule import Rule

_SIMPLE: Final = ("queueLength", "cpu", "memory")
_NO_METRIC = (
    "(!has(self.customMetrics) && (!has(self.metrics) || !("
    + " || ".join(f"has(self.metrics.{name})" for name in _SIMPLE)
    + ")))"
)
_FOLLOWS_QUEUE = f"((has(self.metrics) && has(self.metrics.queueLength)) || {_NO_METRIC})"
"""Of spec.autoscaling: whether the queue's length counts. It is what counts where no metric is set."""

_BLOCKS: Final = {"Pods": "pods", "Object": "object", "External": "external", "Resource": "resource"}


def _source_is(name: str) -> str:
    return f"(has(self.source) && self.source == '{name}')"


def _positive(amount: str) -> str:
    return f"quantity(string({amount})).isGreaterThan(quantity('0'))"


def _one_target(block: str, names: tuple[str, str]) -> Rule:
    first, second = (f"has(self.{name})" for name in names)
    return Rule(
        where=f"spec.autoscaling.customMetrics[].{block}.target",
        rule=f"{first} != {second}",
        message=f"a target is one of {names[0]} and {names[1]}: set one, and not both",
    )


def _positive_target(block: str, name: str) -> Rule:
    return Rule(
        where=f"spec.autoscaling.customMetrics[].{block}.target",
        rule=f"!has(self.{name}) || {_positive(f'self.{name}')}",
        message=f"{name} must be more than 0: no number of groups reaches a target of 0",
        field=f".{name}",
    )


def _percent_rule(name: str) -> Rule:
    """As for `metrics`: a percentage of a request that is not there blocks every scale-down."""
    custom = "self.autoscaling.customMetrics"
    of_engine = "(!has(m.resource.container) || m.resource.container == 'engine')"
    asks = (
        f"{custom}.exists(m, has(m.resource) && m.resource.name == '{name}' &&"
        f" has(m.resource.target.averageUtilization) && {of_engine})"
    )
    amounts = [f"self.resources.{{}}.{name}".format(part) for part in ("requests", "limits")]
    request, limit = (
        f"(has(self.resources.{part}) && has({amount}))"
        for part, amount in zip(("requests", "limits"), amounts, strict=True)
    )
    told = f"({request} ? {_positive(amounts[0])} : ({limit} && {_positive(amounts[1])}))"
    return Rule(
        where="spec",
        rule=f"!has(self.autoscaling) || !has({custom}) || !{asks} || (has(self.resources) && {told})",
        message=(
            f"a customMetric of type Resource is in percent of resources.requests.{name}, which is not set or 0: set"
            " it, or give the metric an averageValue"
        ),
        field=".autoscaling.customMetrics",
    )


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        where="spec.autoscaling.behavior",
        rule=(
            "!(has(self.scaleUp) && has(self.scaleUp.selectPolicy) && self.scaleUp.selectPolicy == 'Disabled' &&"
            " has(self.scaleDown) && has(self.scaleDown.selectPolicy) && self.scaleDown.selectPolicy == 'Disabled')"
        ),
        message=(
            "selectPolicy of scaleUp and scaleDown is Disabled, so that the number of groups never changes: remove"
            " one, or spec.autoscaling"
        ),
        field=".scaleDown.selectPolicy",
    ),
    Rule(
        where="spec.autoscaling.customMetrics[]",
        rule=" && ".join(f"has(self.{block}) == (self.type == '{name}')" for name, block in _BLOCKS.items()),
        message=(
            "a metric has the one field that its type names: pods with type Pods, object with Object, external with"
            " External, resource with Resource"
        ),
    ),
    _positive_target("pods", "averageValue"),
    *(
        rule
        for block, names in (
            ("object", ("value", "averageValue")),
            ("external", ("value", "averageValue")),
            ("resource", ("averageUtilization", "averageValue")),
        )
        for rule in (
            _one_target(block, names),
            *(_positive_target(block, name) for name in names if name != "averageUtilization"),
        )
    ),
    _percent_rule("cpu"),
    _percent_rule("memory"),
    Rule(
        where="spec.autoscaling",
        rule=f"!{_source_is('KEDA')} || !{_FOLLOWS_QUEUE} || has(self.keda)",
        message=(
            "source KEDA reads the queue's length from Prometheus: set keda.serverAddress to its address, or choose"
            " another source"
        ),
        field=".keda",
    ),
    Rule(
        where="spec.autoscaling",
        rule=f"!has(self.keda) || ({_source_is('KEDA')} && {_FOLLOWS_QUEUE})",
        message=(
            "keda is for source KEDA and the queue's length: remove it, or set source to KEDA and metrics.queueLength"
        ),
        field=".keda",
    ),
    Rule(
        where="spec.autoscaling",
        rule=f"!{_source_is('KEDA')} || !has(self.customMetrics)",
        message=(
            "customMetrics are for a HorizontalPodAutoscaler, which a zone with source KEDA does not have: remove them,"
            " or choose another source"
        ),
        field=".customMetrics",
    ),
    Rule(
        where="spec.autoscaling",
        rule=f"!{_source_is('Builtin')} || {_FOLLOWS_QUEUE}",
        message=(
            "source Builtin serves the queue's length, which is no metric here: set metrics.queueLength, or remove"
            " source"
        ),
        field=".source",
    ),
    Rule(
        where="spec.autoscaling",
        rule=(
            f"!{_source_is('PrometheusAdapter')} || {_FOLLOWS_QUEUE} || (has(self.customMetrics) &&"
            " self.customMetrics.exists(m, m.type == 'Pods' || m.type == 'Object'))"
        ),
        message=(
            "source PrometheusAdapter serves the queue's length and customMetrics of type Pods and Object, and there is"
            " none: set metrics.queueLength, or remove source"
        ),
        field=".source",
    ),
    Rule(
        where="spec.autoscaling",
        rule=(
            f"!has(self.surviveZoneLoss) || !self.surviveZoneLoss || {_FOLLOWS_QUEUE} ||"
            " (has(self.metrics) && has(self.metrics.cpu))"
        ),
        message=(
            "surviveZoneLoss lowers the targets queueLength and cpu, and neither is a metric here: set one, or remove"
            " surviveZoneLoss"
        ),
        field=".surviveZoneLoss",
    ),
    Rule(
        where="spec",
        rule=(
            "!has(self.autoscaling) || !has(self.autoscaling.surviveZoneLoss) || !self.autoscaling.surviveZoneLoss ||"
            " (has(self.zones) && self.zones.size() > 1)"
        ),
        message="autoscaling.surviveZoneLoss needs at least two zones: name them in spec.zones, or remove it",
        field=".autoscaling.surviveZoneLoss",
    ),
)
