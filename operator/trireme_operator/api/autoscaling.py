"""How many groups each zone has by load: what becomes one HorizontalPodAutoscaler a zone."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trireme_operator.api.base import ATOMIC, Model


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


class ScaleUp(Model):
    """How fast groups are added."""

    stabilization_window_seconds: WindowSeconds | None = None
    """Of all numbers of groups computed in the last so many seconds the smallest is taken. Default: 0, the latest."""

    policies: Policies | None = None
    """How much may be added in a time. Default: in 60 seconds 2 groups, or as many as there are."""

    select_policy: SelectPolicy = SelectPolicy.MAX
    """Which policy counts: the one that allows the largest change (`Max`), the smallest (`Min`), or no group is ever
    added (`Disabled`)."""


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


class Behavior(Model):
    """How fast the number of groups follows the load."""

    scale_up: ScaleUp = ScaleUp()
    """How fast groups are added."""

    scale_down: ScaleDown = ScaleDown()
    """How fast groups are ended."""


Utilization = Annotated[int, Field(ge=1, le=1000)]


class Metrics(Model):
    """What the number of groups follows: of several metrics the one that asks for the most groups."""

    cpu: Utilization | None = None
    """Mean processor time of the engine containers of the groups' leaders to be kept, in percent of
    `resources.requests.cpu`, or of the limit where there is no request. Needs metrics-server in the cluster."""

    memory: Utilization | None = None
    """Mean memory of the engine containers of the groups' leaders to be kept, in percent of
    `resources.requests.memory`, or of the limit where there is no request. Needs metrics-server in the cluster."""


class Autoscaling(Model):
    """Scales the groups of each zone by load."""

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Fewest groups of a zone, or of the resource without `zones`."""

    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    """Most groups of a zone, or of the resource without `zones`."""

    metrics: Metrics
    """What the number of groups follows; at least one metric."""

    behavior: Behavior = Behavior()
    """How fast the number follows. The defaults suit servers that take minutes to load their model: groups are added
    at once and ended late, one after the other."""
