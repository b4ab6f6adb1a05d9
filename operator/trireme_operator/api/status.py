"""The status of an InferenceCluster: what the controller writes and ``kubectl get ic`` shows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue, computed_field

from trireme_operator.api.base import ATOMIC, Model, ShortText
from trireme_operator.api.conditions import ConditionType, DrainPhase, Reason, WeightReason

ZONES_MAP: dict[str, JsonValue] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
CONDITIONS_MAP: dict[str, JsonValue] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


class Condition(Model):
    """One aspect of the state, as in all of Kubernetes (meta/v1 Condition)."""

    type: ConditionType
    """Which aspect."""

    status: Annotated[str, Field(pattern="^(True|False|Unknown)$")]
    """`True`, `False` or `Unknown`."""

    reason: Reason
    """Why, as one word that programs may rely on."""

    message: Annotated[str, Field(max_length=32768)] = ""
    """Why, for people, with the way out."""

    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When `status` last changed."""

    observed_generation: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] = 0
    """The generation of the spec that this was found for."""


class ZoneLossStatus(Model):
    """With `surviveZoneLoss`: what the loss of the zone with the largest weight would leave."""

    zone: Annotated[str, Field(max_length=63)]
    """The zone with the largest weight."""

    left: Annotated[int, Field(ge=0)]
    """Groups of the other zones."""

    needed: Annotated[int, Field(ge=0)]
    """Groups that they would need for the load of all zones, when all work as the targets say."""


class PlanStatus(Model):
    """The arithmetic that follows from the spec."""

    pods_per_group: Annotated[int, Field(ge=1)]
    """Pods in one group."""

    ranks_per_group: Annotated[int, Field(ge=1)]
    """Ranks in one group: tensor x pipeline x data."""

    gpus_per_group: Annotated[int, Field(ge=0)]
    """Devices that one group asks for; 0 with ranks on the processor."""

    total_gpus: Annotated[int, Field(ge=0)]
    """Devices that all groups ask for."""

    zone_loss: ZoneLossStatus | None = None
    """With `autoscaling.surviveZoneLoss` and two zones that get traffic: what the loss of the largest would leave."""


class ScalingDecision(Model):
    """One change of a zone's number of groups by its autoscaler."""

    time: Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]
    """When."""

    before: Annotated[int, Field(ge=0)]
    """Groups until then."""

    after: Annotated[int, Field(ge=0)]
    """Groups asked for since then."""

    queue_length: Annotated[int, Field(ge=0)] | None = None
    """Requests of each group that the autoscaler saw then; absent where that is no metric of it, or was not known."""


class ZoneAutoscaling(Model):
    """What a zone's HorizontalPodAutoscaler last said."""

    current: Annotated[int, Field(ge=0)]
    """Groups that it found."""

    desired: Annotated[int, Field(ge=0)]
    """Groups that it wants."""

    reason: Annotated[str, Field(max_length=256)]
    """Its own word for what holds it back, such as `TooManyReplicas` (it would want more than maxReplicas),
    `TooFewReplicas` (less than minReplicas) or `FailedGetContainerResourceMetric`; else `ValidMetricFound`."""

    queue_length: Annotated[int, Field(ge=0)] | None = None
    """Requests of each group that it last saw, on average and rounded up; told anew when it has moved by a fifth of the
    target. Absent where that is no metric of it, or is not known."""

    last_scaled: Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})] | None = None
    """When it last changed the number."""

    decisions: Annotated[list[ScalingDecision], Field(max_length=8, json_schema_extra=ATOMIC)] | None = None
    """Its last changes of the number, the latest first, at most eight."""


class StalledGroup(Model):
    """A group that is not ready."""

    group: Annotated[int, Field(ge=0)]
    """Its index in the zone."""

    stage: Annotated[str, Field(pattern="^[A-Z][A-Za-z]{0,31}$", max_length=32)]
    """How far it has come. From its pods: `Pending` (no node, no image, no volume yet), `Starting` (its launchers say
    nothing yet), `Failed`, `Ending`. From its leader's launcher: `Waiting`, `Held`, `Preflight`, `Fetching`, `Loading`,
    `Compiling`, `Draining` or `Failed`."""

    since: Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})] | None = None
    """Since when it is in this stage; absent where nobody can tell."""

    fetched_bytes: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] | None = None
    """Bytes of the model that have arrived in its leader's pod, while the stage is `Fetching`."""

    total_bytes: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] | None = None
    """Of how many; absent where the source does not say."""

    reason: Annotated[str, Field(max_length=1024)]
    """The first cause, or what it waits for."""


class FailureStatus(Model):
    """The last failure of a group."""

    group: Annotated[int, Field(ge=0)]
    """The group's index in its zone."""

    pod: ShortText
    """The pod that failed first."""

    cause: Annotated[str, Field(max_length=512)]
    """What happened to it, for example `worker 1: OOMKilled (exit 137)`."""

    message: Annotated[str, Field(max_length=1024)] | None = None
    """What the launcher, or another program in the pod, said of it."""

    log: (
        Annotated[list[Annotated[str, Field(max_length=512)]], Field(max_length=8, json_schema_extra=ATOMIC)] | None
    ) = None
    """The last lines that the engine wrote."""

    time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When it happened."""

    count: Annotated[int, Field(ge=1)]
    """Failures of the group with this template within `restarts.windowSeconds`, up to this one."""

    next_try: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When the group may start again; absent when it may already."""


class ZoneStatus(Model):
    """One zone as it is."""

    name: Annotated[str, Field(max_length=63)]
    """The zone's name; empty for the pool of a resource without zones."""

    groups: Annotated[int, Field(ge=0)]
    """Groups asked for."""

    ready_groups: Annotated[int, Field(ge=0)]
    """Groups whose every rank serves."""

    weight: Annotated[int, Field(ge=0)]
    """The zone's share of the traffic now."""

    weight_reason: WeightReason
    """Why it is that."""

    weight_percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """Percent of its share that a zone has which gives it up or takes it back step by step, or whose queue is longer
    than the others' (`gateway.balancing`); absent at any other."""

    autoscaling: ZoneAutoscaling | None = None
    """What the zone's autoscaler last said; absent without one."""

    drain: DrainPhase | None = None
    """How far the zone's drain has come: `Refused` (the other zones can't take its load), `Moving` (its traffic moves),
    `Waiting` (requests that run are waited for), `Ending` (its groups end), `Drained`. Absent for a zone that is to be
    active."""

    revision: ShortText | None = None
    """The ControllerRevision that the zone's groups are made from; absent without a LeaderWorkerSet."""

    stalled: Annotated[list[StalledGroup], Field(max_length=16, json_schema_extra=ATOMIC)] | None = None
    """Groups that are not ready, at most the first 16; absent when all are."""

    failures: Annotated[list[FailureStatus], Field(max_length=4, json_schema_extra=ATOMIC)] | None = None
    """The last failure of each group that failed, the latest first, at most four."""

    message: Annotated[str, Field(max_length=4096)] | None = None
    """What keeps groups of the zone from being ready, and the way out."""


class Status(Model):
    """What is there."""

    observed_generation: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] = 0
    """The generation of the spec that this status was written for."""

    conditions: list[Condition] = Field(default_factory=list, max_length=16, json_schema_extra=CONDITIONS_MAP)
    """Accepted, Available, Progressing, RoutesProgrammed and AutoscalingActive, and Ready, which sums up all of them
    but the last."""

    url: Annotated[str, Field(max_length=2048)] | None = None
    """Where clients send requests."""

    plan: PlanStatus | None = None
    """The arithmetic that follows from the spec."""

    revision: ShortText | None = None
    """The ControllerRevision that holds the group template which the spec asks for."""

    newer_rendering: ShortText | None = None
    """The revision that `trireme upgrade-rendering` would move to, because this version of the operator renders the
    same spec in another way. Absent: it would render what runs. Nothing moves by itself."""

    zones: list[ZoneStatus] = Field(default_factory=list, max_length=16, json_schema_extra=ZONES_MAP)
    """Each zone as it is; one entry with an empty name without zones."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def replicas(self) -> int:
        """Groups asked for, over all zones."""
        return sum(zone.groups for zone in self.zones)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ready_replicas(self) -> int:
        """Groups whose every rank serves, over all zones."""
        return sum(zone.ready_groups for zone in self.zones)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def zones_ready(self) -> str:
        """Zones with a ready group, of those that should have one: the column ZONES."""
        wanted = [zone for zone in self.zones if zone.groups > 0]
        return f"{sum(zone.ready_groups > 0 for zone in wanted)}/{len(wanted)}"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def groups_ready(self) -> str:
        """Ready groups, of those asked for: the column GROUPS."""
        ready = sum(zone.ready_groups for zone in self.zones)
        return f"{ready}/{sum(zone.groups for zone in self.zones)}"
