"""Further metrics of a HorizontalPodAutoscaler, in the words of autoscaling/v2 (k8s.io/api v0.36.3, types.go)."""

from __future__ import annotations

from trireme_operator.api.custom_metrics import (
    AverageTarget,
    CustomMetric,
    MetricIdentifier,
    ResourceMetric,
    ResourceTarget,
    ValueTarget,
)
from trireme_operator.api.quantity import canonical
from trireme_operator.rendering.metadata import Obj


def custom_metric(metric: CustomMetric) -> Obj:
    """One entry of `spec.metrics`.

    Raises:
        ValueError: the metric has no field of its type, which the rules of the resource refuse.

    """
    if metric.pods is not None:
        return {
            "type": "Pods",
            "pods": {"metric": _identifier(metric.pods.metric), "target": _target(metric.pods.target)},
        }
    if metric.object is not None:
        described = metric.object.described_object.model_dump(by_alias=True)
        found = {"metric": _identifier(metric.object.metric), "target": _target(metric.object.target)}
        return {"type": "Object", "object": {"describedObject": described, **found}}
    if metric.external is not None:
        found = {"metric": _identifier(metric.external.metric), "target": _target(metric.external.target)}
        return {"type": "External", "external": found}
    if metric.resource is not None:
        return _resource(metric.resource)
    raise ValueError(f"a metric of type {metric.type} has no field of its type")


def _resource(metric: ResourceMetric) -> Obj:
    told: Obj = {"name": metric.name.value, "target": _target(metric.target)}
    if metric.container is None:
        return {"type": "Resource", "resource": told}
    return {"type": "ContainerResource", "containerResource": told | {"container": metric.container}}


def _identifier(metric: MetricIdentifier) -> Obj:
    if metric.selector is None:
        return {"name": metric.name}
    return {"name": metric.name, "selector": {"matchLabels": dict(metric.selector.match_labels)}}


def _target(target: AverageTarget | ValueTarget | ResourceTarget) -> Obj:
    if isinstance(target, ResourceTarget) and target.average_utilization is not None:
        return {"type": "Utilization", "averageUtilization": target.average_utilization}
    if isinstance(target, ValueTarget) and target.value is not None:
        return {"type": "Value", "value": canonical(target.value)}
    return {"type": "AverageValue", "averageValue": canonical(target.average_value or 0)}
