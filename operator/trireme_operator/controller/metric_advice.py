"""What to do about a metric that an autoscaler can't read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from trireme_operator.api.autoscaling import MetricsSource
from trireme_operator.controller.metric_apis import CUSTOM, EXTERNAL, RESOURCE, MetricApi, MetricApis

# The type of a metric, where its name stands in its spec, and the API that it comes from.
_FORMS: Final = {
    "Pods": ("pods", CUSTOM),
    "Object": ("object", CUSTOM),
    "External": ("external", EXTERNAL),
    "Resource": ("resource", RESOURCE),
    "ContainerResource": ("containerResource", RESOURCE),
}
_ADAPTER = "the rule of docs/autoscaling.md"
_EVENTS = "see the events of the HorizontalPodAutoscaler"


@dataclass(frozen=True)
class Unread:
    """A metric by its name, and the group of the API that it comes from (empty for an unknown type)."""

    name: str
    group: str

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Unread:
        """From one entry of an autoscaler's `spec.metrics`."""
        field, group = _FORMS.get(str(spec.get("type")), ("", ""))
        told = spec.get(field) or {}
        name = told.get("name") or (told.get("metric") or {}).get("name") or spec.get("type")
        return cls(str(name), group)


def way_out(unread: Sequence[Unread], source: MetricsSource, apis: MetricApis | None) -> str:
    """One sentence for each API that a metric is missing from; `apis` is None where nobody may look."""
    groups = dict.fromkeys(metric.group for metric in unread)
    return "; ".join(_about(group, source, apis) for group in groups) or _EVENTS


def _about(group: str, source: MetricsSource, apis: MetricApis | None) -> str:
    if not group:
        return _EVENTS
    if apis is None:
        return f"check that {_usual(group)} serves {group}"
    found = apis.get(group)
    if found is None:
        return f"nobody serves {group}: {_install(group, source)}"
    if found.problem:
        return f"{found.service} serves {group} and does not answer ({found.problem}): check its pods and its Service"
    if group == CUSTOM:
        return _custom(found, source)
    way = "`kubectl top pod` knows the leaders, and requests are set" if group == RESOURCE else "it knows the metric"
    return f"{found.service} serves {group}: check that {way}"


def _custom(found: MetricApi, source: MetricsSource) -> str:
    if found.ours:
        return f"{found.service} has heard nothing lately from the leaders: they load, or can't be reached"
    if source is MetricsSource.BUILTIN:
        return (
            f"{CUSTOM} belongs to {found.service}, which is not taken over: set spec.autoscaling.source to"
            f" PrometheusAdapter and give that adapter {_ADAPTER}, or remove it"
        )
    return f"{found.service} serves {CUSTOM}: give it {_ADAPTER}, or check that it has the leaders' metrics"


def _usual(group: str) -> str:
    return {CUSTOM: "Trireme's metrics server, or an adapter,", RESOURCE: "metrics-server"}.get(group, "an adapter")


def _install(group: str, source: MetricsSource) -> str:
    if group == RESOURCE:
        return "install metrics-server"
    if group == EXTERNAL:
        return "install an adapter for it, or remove the metric of type External"
    if source is MetricsSource.PROMETHEUS_ADAPTER:
        return f"install Prometheus Adapter with {_ADAPTER}, or set spec.autoscaling.source to Auto"
    return "check that Trireme's metrics server runs; it is registered when it answers"
