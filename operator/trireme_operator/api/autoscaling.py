"""How many groups each zone has by load: what becomes one HorizontalPodAutoscaler, or ScaledObject, a zone."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from trireme_operator.api.base import ATOMIC, DNS_SUBDOMAIN_PATTERN, Model, ShortText
from trireme_operator.api.custom_metrics import CustomMetric


class MetricsSource(StrEnum):
    AUTO = "Auto"
    BUILTIN = "Builtin"
    PROMETHEUS_ADAPTER = "PrometheusAdapter"
    KEDA = "KEDA"


class PolicyType(StrEnum):
    GROUPS = "Groups"
    PERCENT = "Percent"


class SelectPolicy(StrEnum):
    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


class ScalingPolicy(Model):
    """The most that may change in a time."""

    type: PolicyType
    """What `value` counts: groups, or percent of the groups there are."""

    value: Annotated[int, Field(ge=1, le=10_000)]
    """The most groups, or percent of them, that are added or ended in `periodSeconds`."""

    period_seconds: Annotated[int, Field(ge=1, le=1800)]
    """The time, in seconds, that the change is counted over."""


Policies = Annotated[list[ScalingPolicy], Field(min_length=1, max_length=8, json_schema_extra=ATOMIC)]
WindowSeconds = Annotated[int, Field(ge=0, le=3600)]
TolerancePercent = Annotated[int, Field(ge=0, le=100)]


class ScaleUp(Model):
    """How fast groups are added."""

    stabilization_window_seconds: WindowSeconds | None = None
    """Of all numbers of groups computed in the last so many seconds the smallest is taken. Default: 0, the latest."""

    policies: Policies | None = None
    """How much may be added in a time. Default: in 60 seconds 2 groups, or as many as there are."""

    select_policy: SelectPolicy = SelectPolicy.MAX
    """Which policy counts: the one that allows the largest change (`Max`), the smallest (`Min`), or no group is ever
    added (`Disabled`)."""

    tolerance_percent: TolerancePercent | None = None
    """How far, in percent, a metric may be above its target without a group being added. Default: 10, Kubernetes' own.
    Needs Kubernetes 1.35 or newer, or its feature gate HPAConfigurableTolerance."""


class ScaleDown(Model):
    """How fast groups are ended."""

    stabilization_window_seconds: WindowSeconds | None = None
    """Of all numbers of groups computed in the last so many seconds the largest is taken, so that a pause in the load
    costs no group that takes long to load. Default: 600."""

    policies: Policies | None = None
    """How much may be ended in a time. Default: 1 group in 120 seconds."""

    select_policy: SelectPolicy = SelectPolicy.MAX
    """Which policy counts: the one that allows the largest change (`Max`), the smallest (`Min`), or no group is ever
    ended (`Disabled`)."""

    tolerance_percent: TolerancePercent | None = None
    """How far, in percent, a metric may be below its target without a group being ended. Default: 10, Kubernetes' own.
    Needs Kubernetes 1.35 or newer, or its feature gate HPAConfigurableTolerance."""


class Behavior(Model):
    """How fast the number of groups follows the load."""

    scale_up: ScaleUp = ScaleUp()
    """How fast groups are added."""

    scale_down: ScaleDown = ScaleDown()
    """How fast groups are ended."""


Utilization = Annotated[int, Field(ge=1, le=1000)]


class Metrics(Model):
    """What the number of groups follows: of several metrics the one that asks for the most groups."""

    queue_length: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Requests, waiting and running, that each group of the zone is to have on average (`inference_queue_length` of its
    leader). Default: 10 when no metric is set at all, here or in `customMetrics`; else it is not looked at. Who serves
    the metric is said in `source`."""

    cpu: Utilization | None = None
    """Mean processor time of the engine containers of the groups' leaders to be kept, in percent of
    `resources.requests.cpu`, or of the limit where there is no request. Needs metrics-server in the cluster."""

    memory: Utilization | None = None
    """Mean memory of the engine containers of the groups' leaders to be kept, in percent of
    `resources.requests.memory`, or of the limit where there is no request. Needs metrics-server in the cluster."""


_URL_PATTERN: Final = r"^https?://[-A-Za-z0-9.:\[\]]+(/[-A-Za-z0-9._~%/]*)?$"


class Keda(Model):
    """What KEDA's trigger needs."""

    server_address: Annotated[str, Field(min_length=8, max_length=1024, pattern=_URL_PATTERN)]
    """The Prometheus that has the metrics of the resource's PodMonitor, as KEDA reaches it, for example
    `http://prometheus-operated.monitoring:9090`."""

    authentication: Annotated[ShortText, Field(min_length=1, pattern=DNS_SUBDOMAIN_PATTERN)] | None = None
    """A TriggerAuthentication in the resource's namespace. Default: none."""


CustomMetrics = Annotated[list[CustomMetric], Field(min_length=1, max_length=8, json_schema_extra=ATOMIC)]


class Autoscaling(Model):
    """Scales the groups of each zone by load."""

    source: MetricsSource | None = None
    """Who serves the metrics. `Auto` (the default): whoever has registered custom.metrics.k8s.io in the cluster, and
    where nobody has, Trireme's own metrics server. `Builtin`: Trireme's own metrics server; while somebody else has
    registered the API, the number of groups stays. `PrometheusAdapter`: an adapter of yours; Trireme's own server is
    not registered for this resource. `KEDA`: each zone gets a ScaledObject instead of a HorizontalPodAutoscaler."""

    keda: Keda | None = None
    """With source `KEDA`: where it reads the queue's length."""

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Fewest groups of a zone, or of the resource without `zones`."""

    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    """Most groups of a zone, or of the resource without `zones`."""

    metrics: Metrics | None = None
    """What the number of groups follows. Default: the queue's length, when there are no `customMetrics` either."""

    custom_metrics: CustomMetrics | None = None
    """Further metrics that the number of groups follows, beside `metrics`. They are passed on to the autoscaler as they
    are, so whoever serves them is yours to install. Default: none."""

    behavior: Behavior = Behavior()
    """How fast the number follows. The defaults suit servers that take minutes to load their model: groups are added
    at once and ended late, one after the other."""

    survive_zone_loss: bool | None = None
    """Whether the zones keep so many groups that those of any one zone can be lost and the others carry its load: the
    targets `queueLength` and `cpu` are lowered by the share of the traffic of the zone with the largest `weight`.
    Default: false."""
