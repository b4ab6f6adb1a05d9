"""The status of a resource, computed whole from what is there and written only when it differs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trireme_operator.api import (
    ConditionType,
    InvalidResource,
    PlanStatus,
    Reason,
    StalledGroup,
    Status,
    ZoneAutoscaling,
    ZoneLossStatus,
    ZoneStatus,
)
from trireme_operator.api.labels import DRAIN_PREFIX, FIELD_MANAGER
from trireme_operator.api.monitoring import PodMonitorMode
from trireme_operator.api.resource import CPU
from trireme_operator.controller.autoscaling import say_autoscaling
from trireme_operator.controller.causes import Cause, worst
from trireme_operator.controller.children import NameTakenError
from trireme_operator.controller.conditions import Conditions
from trireme_operator.controller.course import Course
from trireme_operator.controller.failures import Past, told
from trireme_operator.controller.groups import Group
from trireme_operator.controller.metric_apis import MetricApis
from trireme_operator.controller.revisions import Template
from trireme_operator.controller.route_condition import GATEWAY_API_TEXT, say_routes
from trireme_operator.controller.routes import GatewayKey, url
from trireme_operator.controller.scope import Scope, sentence
from trireme_operator.controller.zone_runs import is_updating, revision_in
from trireme_operator.kube import (
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    POD_MONITOR,
    Forbidden,
    Invalid,
    KubeApi,
    Obj,
)
from trireme_operator.planning import (
    ClusterPlan,
    Drain,
    DrainPhase,
    RolloutPhase,
    Upkeep,
    ZonePlan,
    ZoneWeight,
    unknown_drains,
    zone_loss,
)

_ZONE_MESSAGE_LIMIT = 1000


@dataclass(frozen=True)
class ZoneView:
    """One zone as it is observed."""

    plan: ZonePlan
    groups: tuple[Group, ...]
    weight: ZoneWeight
    past: Past
    stalled: tuple[StalledGroup, ...] = ()
    """What is said of groups that are not ready, a few of them at most."""
    autoscaling: ZoneAutoscaling | None = None
    drain: Drain | None = None
    """How far the zone's drain has come; None for a zone that is to be active."""
    upkeep: Upkeep | None = None
    """What maintenance of nodes asks for."""

    @property
    def asked(self) -> int:
        """Groups that should be there."""
        return len(self.groups)

    @property
    def ready(self) -> int:
        """Ready groups."""
        return sum(group.ready for group in self.groups)

    @property
    def worst(self) -> tuple[int, Cause] | None:
        """The group that says most about what is wrong, with its cause."""
        cause = worst(group.cause for group in self.groups if group.cause is not None)
        return next(((group.index, cause) for group in self.groups if cause and group.cause is cause), None)

    @property
    def message(self) -> str | None:
        """The same in words, or what is waited for."""
        found = self.worst
        cause = f"group {found[0]}: {found[1].message}" if found else None
        told = [
            text for text in (self.drain and self.drain.message, self.upkeep and self.upkeep.message, cause) if text
        ]
        return "; ".join(told)[:_ZONE_MESSAGE_LIMIT] or None


def compute(
    scope: Scope,
    course: Course,
    zones: Sequence[ZoneView],
    gateways: Mapping[GatewayKey, Obj | None],
    conditions: Conditions,
    *,
    template: Template | None,
    refusal: InvalidResource | None = None,
    apis: MetricApis | None = None,
) -> Obj:
    """The status of a resource that is brought about, as it goes to the API server.

    With `refusal` the live spec breaks a rule, and everything else is about the spec that was accepted before.
    """
    plan = course.plan
    if refusal is None:
        _accepted(scope, conditions)
    else:
        text = f"{refusal}; until that is corrected, groups and traffic go on by the spec that was accepted before"
        conditions.false(ConditionType.ACCEPTED, Reason.INVALID_SPEC, text)
    _available(zones, conditions)
    _progressing(scope, course, zones, conditions)
    say_routes(scope, plan, gateways, conditions)
    say_autoscaling(scope, plan, conditions, zones={zone.plan.name: zone.autoscaling for zone in zones}, apis=apis)
    _ready(conditions)
    status = Status(
        observed_generation=scope.cluster.metadata.generation,
        conditions=conditions.all(),
        url=url(scope.cluster, plan, gateways),
        plan=_plan(scope, plan, {zone.plan.name: zone.asked for zone in zones}),
        revision=template.revision if template is not None else None,
        newer_rendering=template.newer if template is not None else None,
        zones=[_zone(scope, zone) for zone in zones],
    )
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def compute_invalid(raw: Obj, error: InvalidResource, now: datetime) -> Obj:
    """The status of a resource that breaks a rule, when no accepted spec is remembered.

    Nothing is touched, so of groups and traffic nothing is claimed. What the status said of the zones stays, as what
    was last seen.
    """
    metadata, live = raw["metadata"], raw.get("status") or {}
    generation = int(metadata.get("generation") or 0)
    conditions = Conditions(live.get("conditions") or [], generation=generation, now=now)
    text = f"{error}; the running groups stay as they are"
    conditions.false(ConditionType.ACCEPTED, Reason.INVALID_SPEC, text)
    unseen = (
        "Groups are not looked at and weights are not moved until the spec is corrected; see the condition Accepted"
    )
    for kind in (ConditionType.AVAILABLE, ConditionType.PROGRESSING):
        conditions.unknown(kind, Reason.INVALID_SPEC, unseen)
    if any(item.get("type") == ConditionType.ROUTES_PROGRAMMED for item in live.get("conditions") or []):
        conditions.unknown(ConditionType.ROUTES_PROGRAMMED, Reason.INVALID_SPEC, unseen)
    conditions.false(ConditionType.READY, Reason.INVALID_SPEC, text)
    ours = [item.model_dump(mode="json", by_alias=True) for item in conditions.all()]
    return {**live, "conditions": ours, "observedGeneration": generation}


async def write_if_changed(api: KubeApi, raw: Obj, status: Obj) -> bool:
    """Apply the status when it is not what stands there; returns whether it was written.

    Server-side apply rather than a merge patch: what we stop saying is removed by the server, conditions of other
    writers stay, and a UID in the request keeps it off a resource that was deleted and made again.
    """
    if not differs(raw.get("status") or {}, status):
        return False
    metadata = {key: raw["metadata"][key] for key in ("name", "namespace", "uid")}
    api_version, kind = INFERENCE_CLUSTER.api_version, INFERENCE_CLUSTER.kind
    obj = {"apiVersion": api_version, "kind": kind, "metadata": metadata, "status": status}
    await api.patch_status(INFERENCE_CLUSTER, obj, manager=FIELD_MANAGER)
    return True


def differs(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether `live` says anything else than `wanted`; conditions of types that are not ours don't count."""
    return _comparable(live) != _comparable(wanted)


def _zone(scope: Scope, zone: ZoneView) -> ZoneStatus:
    return ZoneStatus(
        name=zone.plan.name or "",
        groups=zone.asked,
        ready_groups=zone.ready,
        weight=zone.weight.weight,
        weight_reason=zone.weight.reason,
        weight_percent=zone.weight.percent,
        autoscaling=zone.autoscaling,
        drain=zone.drain.phase if zone.drain is not None else None,
        revision=revision_in(scope, zone.plan),
        stalled=list(zone.stalled) or None,
        failures=told(zone.past),
        message=zone.message,
    )


def _plan(scope: Scope, plan: ClusterPlan, groups: Mapping[str | None, int]) -> PlanStatus:
    ranks, loss = plan.geometry.world_size, zone_loss(scope.cluster, plan, groups)
    devices = 0 if scope.cluster.spec.accelerator.resource == CPU else ranks
    return PlanStatus(
        pods_per_group=plan.geometry.pods,
        ranks_per_group=ranks,
        gpus_per_group=devices,
        total_gpus=devices * sum(groups.values()),
        zone_loss=None if loss is None else ZoneLossStatus(zone=loss.zone, left=loss.left, needed=loss.needed),
    )


def _comparable(status: Mapping[str, Any]) -> dict[str, Any]:
    """The status with its keyed lists as maps: their order is the server's, and conditions may have other writers."""
    ours = set(ConditionType)
    conditions = {item.get("type"): item for item in status.get("conditions") or [] if item.get("type") in ours}
    zones = {item.get("name"): item for item in status.get("zones") or []}
    return {**status, "conditions": conditions, "zones": zones}


def _accepted(scope: Scope, conditions: Conditions) -> None:
    refused = [error for error in scope.errors if isinstance(error.error, Invalid | Forbidden)]
    taken = [error for error in scope.errors if isinstance(error.error, NameTakenError)]
    if LEADER_WORKER_SET in scope.children.missing:
        text = "LeaderWorkerSet is not installed: install https://lws.sigs.k8s.io (0.9.0); it is picked up by itself"
        conditions.false(ConditionType.ACCEPTED, Reason.LEADER_WORKER_SET_MISSING, text)
    elif taken:
        conditions.false(ConditionType.ACCEPTED, Reason.NAME_CONFLICT, sentence(taken))
    elif refused:
        conditions.false(ConditionType.ACCEPTED, Reason.APPLY_FAILED, sentence(refused))
    elif _gateway_api_missing(scope):
        conditions.false(ConditionType.ACCEPTED, Reason.GATEWAY_API_MISSING, GATEWAY_API_TEXT)
    elif scope.model.problem:
        conditions.false(ConditionType.ACCEPTED, Reason.MODEL_CONFIG_UNREADABLE, scope.model.problem)
    elif scope.cluster.spec.monitoring.pod_monitor is PodMonitorMode.ALWAYS and POD_MONITOR in scope.children.missing:
        conditions.false(ConditionType.ACCEPTED, Reason.POD_MONITOR_API_MISSING, _POD_MONITOR_TEXT)
    else:
        warnings = [scope.model.warning, *map(_unknown_drain, unknown_drains(scope.cluster))]
        conditions.true(ConditionType.ACCEPTED, Reason.VALID, "; ".join(text for text in warnings if text))


def _unknown_drain(key: str) -> str:
    zone = key.removeprefix(DRAIN_PREFIX)
    return f"the annotation {key} asks for a drain of zone {zone}, which the spec does not have; remove the annotation"


def _available(zones: Sequence[ZoneView], conditions: Conditions) -> None:
    wanted, ready = sum(zone.asked for zone in zones), sum(zone.ready for zone in zones)
    serving = any(zone.ready and zone.weight.weight for zone in zones)
    text = f"{ready} of {wanted} groups are ready"
    if wanted == 0:
        text = "No group is asked for: raise replicas, or set the state of a zone to Active"
        conditions.false(ConditionType.AVAILABLE, Reason.SCALED_TO_ZERO, text)
    elif not serving:
        messages = [_in_zone(zone) for zone in zones if zone.message]
        conditions.false(ConditionType.AVAILABLE, Reason.NO_GROUP_READY, "; ".join([text, *messages[:1]]))
    else:
        reason = Reason.ALL_GROUPS_READY if ready >= wanted else Reason.SOME_GROUPS_READY
        conditions.true(ConditionType.AVAILABLE, reason, text)


def _progressing(scope: Scope, course: Course, zones: Sequence[ZoneView], conditions: Conditions) -> None:
    causes = [(zone, found[1]) for zone in zones if (found := zone.worst) is not None]
    causes.sort(key=lambda item: not item[1].serious)
    leaving = _leaving(zones)
    rolling = [zone for zone in zones if _is_rolling(scope, zone)]
    rollout = course.rollout
    unseen = [zone.plan.lws_name for zone in zones if _is_unseen(scope, zone)]
    if scope.errors:
        conditions.true(ConditionType.PROGRESSING, Reason.APPLY_FAILED, sentence(scope.errors))
    elif rollout.phase is RolloutPhase.STOPPED:
        conditions.false(ConditionType.PROGRESSING, Reason.PROGRESS_DEADLINE_EXCEEDED, rollout.message)
    elif causes and causes[0][1].serious:
        conditions.true(ConditionType.PROGRESSING, causes[0][1].reason, _in_zone(causes[0][0]))
    elif rollout.phase in _UNDER_WAY:
        conditions.true(ConditionType.PROGRESSING, Reason.ROLLING_OUT, rollout.message)
    elif rolling:
        names = ", ".join(zone.plan.lws_name for zone in rolling)
        conditions.true(ConditionType.PROGRESSING, Reason.ROLLING_OUT, f"Groups are being replaced in {names}")
    elif leaving is not None:
        conditions.true(ConditionType.PROGRESSING, leaving[0], _in_zone(leaving[1]))
    elif causes:
        conditions.true(ConditionType.PROGRESSING, Reason.STARTING, _in_zone(causes[0][0]))
    elif unseen:
        text = f"LeaderWorkerSet has not looked at {', '.join(unseen)} yet; check that its controller runs"
        conditions.true(ConditionType.PROGRESSING, Reason.STARTING, text)
    elif rollout.phase is RolloutPhase.PAUSED:
        conditions.false(ConditionType.PROGRESSING, Reason.ROLLOUT_PAUSED, rollout.message)
    else:
        conditions.false(ConditionType.PROGRESSING, Reason.STABLE)


def _leaving(zones: Sequence[ZoneView]) -> tuple[Reason, ZoneView] | None:
    """The first zone that is being drained, else the first one that has a group out because of a node; and why."""
    for zone in zones:
        if zone.drain is not None and zone.drain.phase is not DrainPhase.DRAINED:
            return Reason.DRAIN_REFUSED if zone.drain.phase is DrainPhase.REFUSED else Reason.DRAINING, zone
    kept = next((zone for zone in zones if zone.upkeep is not None and zone.upkeep.leaves), None)
    return None if kept is None else (Reason.NODE_MAINTENANCE, kept)


_UNDER_WAY = {RolloutPhase.WAITING, RolloutPhase.MOVING, RolloutPhase.REPLACING, RolloutPhase.RETURNING}


def _ready(conditions: Conditions) -> None:
    """False with the words of the first condition that is not as it should be."""
    wanted = (
        (ConditionType.ACCEPTED, "True"),
        (ConditionType.PROGRESSING, "False"),
        (ConditionType.AVAILABLE, "True"),
        (ConditionType.ROUTES_PROGRAMMED, "True"),
    )
    for kind, good in wanted:
        condition = conditions.get(kind)
        stopped = condition is not None and condition.reason is Reason.PROGRESS_DEADLINE_EXCEEDED
        if condition is not None and (condition.status != good or stopped):
            conditions.false(ConditionType.READY, condition.reason, condition.message)
            return
    conditions.true(ConditionType.READY, Reason.ALL_GROUPS_READY)


_POD_MONITOR_TEXT = (
    "The API of PodMonitors is not installed: install the Prometheus Operator's CRDs, or set spec.monitoring.podMonitor"
    " to Auto; it is picked up by itself"
)


def _gateway_api_missing(scope: Scope) -> bool:
    return scope.cluster.spec.gateway is not None and HTTP_ROUTE in scope.children.missing


def _is_rolling(scope: Scope, zone: ZoneView) -> bool:
    live = scope.children.get(LEADER_WORKER_SET, zone.plan.lws_name)
    return live is not None and is_updating(live)


def _is_unseen(scope: Scope, zone: ZoneView) -> bool:
    """Whether LeaderWorkerSet has never looked at the zone's groups."""
    live = scope.children.get(LEADER_WORKER_SET, zone.plan.lws_name)
    return live is not None and _observed(live) != _generation(live)


def _observed(live: Obj) -> int:
    return int((live.get("status") or {}).get("observedGeneration") or 0)


def _generation(live: Obj) -> int:
    return int((live.get("metadata") or {}).get("generation") or 0)


def _in_zone(zone: ZoneView) -> str:
    return f"zone {zone.plan.name}, {zone.message}" if zone.plan.name else str(zone.message)
