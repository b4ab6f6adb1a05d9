"""What the autoscalers say of themselves: the condition AutoscalingActive, and each zone's part of the status.

Types and reasons: k8s.io/kubernetes v1.36.3, pkg/controller/podautoscaler/horizontal.go. A metric that the autoscaler
could not read stands in `status.currentMetrics` at its place with an empty type (computeReplicasForMetrics there): the
only trace of it while another metric works and the number needs no change.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from trireme_operator.api import ConditionType, InferenceCluster, Reason, ScalingDecision, ZoneAutoscaling
from trireme_operator.api.autoscaling import MetricsSource
from trireme_operator.api.quantity import value_of
from trireme_operator.controller.conditions import Conditions
from trireme_operator.controller.metric_advice import Unread, way_out
from trireme_operator.controller.metric_apis import MetricApis
from trireme_operator.controller.scope import ChildError, Scope
from trireme_operator.controller.times import seconds, timestamp
from trireme_operator.kube import HORIZONTAL_POD_AUTOSCALER, SCALED_OBJECT, Obj
from trireme_operator.planning import (
    QUEUE_LENGTH,
    ClusterPlan,
    Decision,
    History,
    Regime,
    ZonePlan,
    decisions,
    source_of_metrics,
)

_ABLE, _ACTIVE, _LIMITED = "AbleToScale", "ScalingActive", "ScalingLimited"
_DISABLED, _AT_MOST = "ScalingDisabled", "TooManyReplicas"
_SAID_LIMIT = 300
_STEP_PARTS = 5
"""The queue's length is told anew when it has moved by a fifth of its target: it moves all the time."""


def by_keda(cluster: InferenceCluster) -> bool:
    """Whether KEDA makes the autoscalers."""
    scaling = cluster.spec.autoscaling
    return scaling is not None and source_of_metrics(scaling) is MetricsSource.KEDA


def keda_name(zone: ZonePlan) -> str:
    """What KEDA calls the autoscaler that it makes from the zone's ScaledObject; it gives it our labels."""
    return f"keda-hpa-{zone.lws_name}"


def live_autoscaler(scope: Scope, zone: ZonePlan) -> Obj | None:
    """The HorizontalPodAutoscaler of the zone's groups, whoever made it."""
    names = (zone.lws_name, keda_name(zone))
    found = (scope.children.get(HORIZONTAL_POD_AUTOSCALER, name) for name in names)
    return next((obj for obj in found if obj is not None), None)


def zone_autoscaling(
    scope: Scope, zone: ZonePlan, history: History, before: Mapping[str, Any]
) -> ZoneAutoscaling | None:
    """What the zone's autoscaler last said; None where there is none, or it has said nothing yet.

    `before` is what the status says of the zone until now.
    """
    live = _autoscaler(scope, zone)
    said = _conditions(live)
    if live is None or not said:
        return None
    status = live["status"]
    known = [
        ScalingDecision(time=timestamp(each.time), before=each.before, after=each.after, queue_length=each.queue_length)
        for each in reversed(decisions(history))
    ]
    return ZoneAutoscaling(
        current=int(status.get("currentReplicas") or 0),
        desired=int(status.get("desiredReplicas") or 0),
        reason=_reason(said),
        queue_length=_shown(_queue(live), _queue_target(live), (before.get("autoscaling") or {}).get("queueLength")),
        last_scaled=status.get("lastScaleTime"),
        decisions=known or None,
    )


def last_decision(scope: Scope, zone: ZonePlan) -> Decision | None:
    """The last number of groups that the zone's autoscaler decided on; None where it has changed none yet."""
    live = _autoscaler(scope, zone) or {}
    status = live.get("status") or {}
    time = seconds(status.get("lastScaleTime"))
    if time is None:
        return None
    before, after = (int(status.get(name) or 0) for name in ("currentReplicas", "desiredReplicas"))
    return Decision(time, before, after, queue_length=_queue(live))


def say_autoscaling(
    scope: Scope,
    plan: ClusterPlan,
    conditions: Conditions,
    *,
    zones: Mapping[str | None, ZoneAutoscaling | None],
    apis: MetricApis | None,
) -> None:
    """Set AutoscalingActive from the first zone, in the order of the spec, whose autoscaler does not work."""
    scaling = scope.cluster.spec.autoscaling
    if scaling is None:
        return
    kind = ConditionType.AUTOSCALING_ACTIVE
    scaled = [zone for zone in plan.zones if zone.regime is Regime.AUTOSCALED]
    failed = sorted(str(error) for error in scope.errors if _is_about_scaling(error))
    if not scaled:
        conditions.false(
            kind, Reason.SCALED_TO_ZERO, "No zone is to have groups: set the state of one to Active, or undrain it"
        )
        return
    if failed:
        conditions.false(kind, Reason.APPLY_FAILED, "; ".join(failed))
        return
    if by_keda(scope.cluster) and SCALED_OBJECT in scope.children.missing:
        conditions.false(kind, Reason.KEDA_MISSING, _KEDA_TEXT)
        return
    for zone in scaled:
        where = f"zone {zone.name}: " if zone.name is not None else ""
        found = _problem(scope, zone, source_of_metrics(scaling), apis)
        if found is not None:
            reason, text = found
            say = conditions.unknown if reason is Reason.AUTOSCALER_PENDING else conditions.false
            say(kind, reason, where + text)
            return
    told = [_in_words(zone, zones.get(zone.name), live_autoscaler(scope, zone)) for zone in scaled]
    conditions.true(kind, Reason.AUTOSCALERS_ACTIVE, "; ".join([*told, *_served_by(scope, scaled, apis)]))


def _problem(scope: Scope, zone: ZonePlan, source: MetricsSource, apis: MetricApis | None) -> tuple[Reason, str] | None:
    live = _autoscaler(scope, zone)
    said = _conditions(live)
    if live is None or not said:
        return Reason.AUTOSCALER_PENDING, _pending(zone, source)
    blocked = _blocked(said)
    if blocked is not None:
        return Reason.AUTOSCALER_BLOCKED, _text(blocked)
    unread = _unread(live)
    if _is_false(said, _ACTIVE):
        text = f"{_text(said[_ACTIVE])}; {way_out(unread or _metrics(live), source, apis)}; until then the number stays"
        return Reason.METRICS_UNAVAILABLE, text
    if unread:
        names = ", ".join(metric.name for metric in unread)
        text = f"{names} can't be read, so groups are added by the other metrics and none is ended"
        return Reason.METRICS_INCOMPLETE, f"{text}; {way_out(unread, source, apis)}"
    return None


def _pending(zone: ZonePlan, source: MetricsSource) -> str:
    if source is MetricsSource.KEDA:
        text = f"KEDA has made no HorizontalPodAutoscaler from ScaledObject {zone.lws_name} yet; check its operator"
        return f"{text} and the conditions of the ScaledObject"
    text = f"nothing has looked at HorizontalPodAutoscaler {zone.lws_name} yet"
    return f"{text}; check that kube-controller-manager runs"


def _blocked(said: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """What keeps the autoscaler from the number itself, whatever the metrics are."""
    if _is_false(said, _ABLE):
        return said[_ABLE]
    disabled = _is_false(said, _ACTIVE) and said[_ACTIVE].get("reason") == _DISABLED
    return said[_ACTIVE] if disabled else None


def _autoscaler(scope: Scope, zone: ZonePlan) -> Obj | None:
    return live_autoscaler(scope, zone) if zone.regime is Regime.AUTOSCALED else None


def _is_about_scaling(error: ChildError) -> bool:
    return error.kind in {HORIZONTAL_POD_AUTOSCALER, SCALED_OBJECT}


def _in_words(zone: ZonePlan, shown: ZoneAutoscaling | None, live: Obj | None) -> str:
    """One zone's numbers; only such as stand in the status too, which changes with them."""
    where = f"zone {zone.name}: " if zone.name is not None else ""
    if shown is None:
        return f"{where}nothing said yet"
    if zone.least == zone.max_replicas:
        return (
            f"{where}always {zone.least}, which minReplicas and maxReplicas both are: raise maxReplicas to let it scale"
        )
    text = f"{where}{shown.desired} wanted, between {zone.least} and {zone.max_replicas}"
    target = _queue_target(live or {})
    if shown.queue_length is not None and target is not None:
        text += f", queue length {shown.queue_length} of {target}"
    return text + (", limited by maxReplicas" if shown.reason == _AT_MOST else "")


def _served_by(scope: Scope, scaled: Sequence[ZonePlan], apis: MetricApis | None) -> list[str]:
    groups = {metric.group for zone in scaled for metric in _metrics(live_autoscaler(scope, zone) or {})}
    served = [(group, apis[group].service) for group in sorted(groups) if apis is not None and group in apis]
    return [f"{group} is served by {service}" for group, service in served]


def _metrics(live: Obj) -> list[Unread]:
    return [Unread.of(spec) for spec in (live.get("spec") or {}).get("metrics") or []]


def _unread(live: Obj) -> list[Unread]:
    """The metrics that the autoscaler's last look could not read."""
    wanted = (live.get("spec") or {}).get("metrics") or []
    seen = (live.get("status") or {}).get("currentMetrics") or []
    if len(wanted) != len(seen):
        return []  # it has not looked since they were changed
    return [Unread.of(spec) for spec, current in zip(wanted, seen, strict=True) if not current.get("type")]


def _queue(live: Obj) -> int | None:
    """Requests of each group, rounded up: what is not 0 is not told as 0."""
    for current in (live.get("status") or {}).get("currentMetrics") or []:
        of_pods = current.get("pods") or {}
        if (of_pods.get("metric") or {}).get("name") == QUEUE_LENGTH:
            return _number((of_pods.get("current") or {}).get("averageValue"))
    return None


def _queue_target(live: Obj) -> int | None:
    for spec in (live.get("spec") or {}).get("metrics") or []:
        of_pods = spec.get("pods") or {}
        if (of_pods.get("metric") or {}).get("name") == QUEUE_LENGTH:
            return _number((of_pods.get("target") or {}).get("averageValue"))
    return None


def _number(quantity: Any) -> int | None:
    try:
        return min(2**31 - 1, max(0, ceil(value_of(str(quantity)))))
    except ValueError:
        return None


def _shown(now: int | None, target: int | None, before: Any) -> int | None:
    """What was told before, while it is near enough: a status that follows each number would be written for ever."""
    if now is None or now == 0 or not isinstance(before, int):
        return now
    step = max(1, (target or 0) // _STEP_PARTS)
    return before if before and abs(now - before) <= step else now


def _conditions(live: Obj | None) -> dict[str, Mapping[str, Any]]:
    found = ((live or {}).get("status") or {}).get("conditions") or []
    return {str(item.get("type")): item for item in found}


def _is_false(said: Mapping[str, Mapping[str, Any]], kind: str) -> bool:
    return said.get(kind, {}).get("status") == "False"


def _reason(said: Mapping[str, Mapping[str, Any]]) -> str:
    """The autoscaler's own word for what holds it back, else for what it goes by."""
    for kind, status in ((_ABLE, "False"), (_ACTIVE, "False"), (_LIMITED, "True"), (_ACTIVE, "True")):
        condition = said.get(kind, {})
        if condition.get("status") == status and condition.get("reason"):
            return str(condition["reason"])
    return Reason.UNKNOWN.value


def _text(condition: Mapping[str, Any]) -> str:
    return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")[:_SAID_LIMIT]


_KEDA_TEXT = (
    "spec.autoscaling.source is KEDA, and the API of ScaledObjects (keda.sh) is not installed: install KEDA, or set"
    " spec.autoscaling.source to Auto; until then the number of groups is left to what there is. It is picked up by"
    " itself"
)
