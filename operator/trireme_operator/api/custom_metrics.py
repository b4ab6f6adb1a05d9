"""Further metrics of an autoscaler, as Kubernetes has them, typed.

Fields and rules: k8s.io/api v0.36.3, autoscaling/v2/types.go (MetricSpec). What the type of a target would say follows
from which of its fields is set.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trireme_operator.api.base import DNS_LABEL_PATTERN, Model
from trireme_operator.api.quantity import Quantity
from trireme_operator.api.selectors import LabelValue

# What a segment of a path can be (k8s.io/apimachinery v0.36.3, pkg/api/validation/path, IsValidPathSegmentName).
_SEGMENT = r"^[^/%.][^/%]*$"
MetricName = Annotated[str, Field(min_length=1, max_length=253, pattern=_SEGMENT)]


class MetricType(StrEnum):
    PODS = "Pods"
    OBJECT = "Object"
    EXTERNAL = "External"
    RESOURCE = "Resource"


class ResourceName(StrEnum):
    CPU = "cpu"
    MEMORY = "memory"


class MetricSelector(Model):
    """Series of a metric by their labels."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=16)]
    """Labels with their values, for example `phase: decode`."""


class MetricIdentifier(Model):
    """Which metric."""

    name: MetricName
    """The metric's name."""

    selector: MetricSelector | None = None
    """Labels that the series of the metric have. Default: any."""


class AverageTarget(Model):
    """What is kept, as a mean over the groups."""

    average_value: Quantity
    """The mean to be kept, more than 0: a number such as `20` or `500m`."""


class ValueTarget(Model):
    """What is kept: one of the two."""

    value: Quantity | None = None
    """The value to be kept, more than 0, as it is."""

    average_value: Quantity | None = None
    """The value to be kept, more than 0, after it is divided by the number of groups."""


class ResourceTarget(Model):
    """What is kept: one of the two."""

    average_utilization: Annotated[int, Field(ge=1, le=1000)] | None = None
    """The mean to be kept, in percent of the request."""

    average_value: Quantity | None = None
    """The mean to be kept, more than 0, in cores or bytes."""


class PodsMetric(Model):
    """A metric of each group's leader, from custom.metrics.k8s.io."""

    metric: MetricIdentifier
    """Which metric."""

    target: AverageTarget
    """What is kept."""


class DescribedObject(Model):
    """An object of the resource's namespace."""

    api_version: Annotated[str, Field(min_length=1, max_length=253)]
    """Its group and version, for example `networking.k8s.io/v1`."""

    kind: Annotated[str, Field(min_length=1, max_length=63)]
    """The object's kind, for example `Ingress`."""

    name: MetricName
    """The object's name."""


class ObjectMetric(Model):
    """A metric of one object, from custom.metrics.k8s.io."""

    described_object: DescribedObject
    """Which object."""

    metric: MetricIdentifier
    """Which metric."""

    target: ValueTarget
    """What is kept."""


class ExternalMetric(Model):
    """A metric of something outside of the cluster, from external.metrics.k8s.io."""

    metric: MetricIdentifier
    """Which metric."""

    target: ValueTarget
    """What is kept."""


class ResourceMetric(Model):
    """Processor time or memory of the groups' leaders, from metrics-server."""

    name: ResourceName
    """`cpu` or `memory`."""

    container: Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL_PATTERN)] | None = None
    """The container that is looked at, for example one that `podTemplate` adds. Default: all of the pod's together; a
    percentage then needs a request on each of them."""

    target: ResourceTarget
    """What is kept."""


class CustomMetric(Model):
    """One further metric: its type, and the field of that type."""

    type: MetricType
    """`Pods` (of each leader), `Object` (of one object), `External` (of something outside of the cluster) or
    `Resource` (processor time or memory of the leaders)."""

    pods: PodsMetric | None = None
    """With type `Pods`."""

    object: ObjectMetric | None = None
    """With type `Object`."""

    external: ExternalMetric | None = None
    """With type `External`."""

    resource: ResourceMetric | None = None
    """With type `Resource`."""
