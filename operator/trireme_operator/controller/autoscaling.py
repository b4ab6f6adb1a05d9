"""What the autoscalers say of themselves: the condition AutoscalingActive, and each zone's part of the status.

Types and reasons: k8s.io/kubernetes v1.36.3, pkg/controller/podautoscaler/horizontal.go.
"""

from collections.abc import Mapping
from typing import Any

from trireme_operator.api import ConditionType, Reason, ZoneAutoscaling
from trireme_operator.controller.conditions import Conditions
from trireme_operator.controller.scope import Scope
from trireme_operator.kube import HORIZONTAL_POD_AUTOSCALER, Obj
from trireme_operator.planning import ClusterPlan, Regime, ZonePlan

_ABLE, _ACTIVE, _LIMITED = "AbleToScale", "ScalingActive", "ScalingLimited"


def zone_autoscaling(scope: Scope, zone: ZonePlan) -> ZoneAutoscaling | None:
    """What the zone's autoscaler last said; None where there is none, or it has said nothing yet."""
    live = _autoscaler(scope, zone)
    said = _conditions(live)
    if live is None or not said:
        return None
    status = live["status"]
    return ZoneAutoscaling(
        current=int(status.get("currentReplicas") or 0),
        desired=int(status.get("desiredReplicas") or 0),
        reason=_reason(said),
    )


def say_autoscaling(scope: Scope, plan: ClusterPlan, conditions: Conditions) -> None:
    """Set AutoscalingActive from the first zone, in the order of the spec, whose autoscaler does not work."""
    if scope.cluster.spec.autoscaling is None:
        return
    kind = ConditionType.AUTOSCALING_ACTIVE
    scaled = [zone for zone in plan.zones if zone.regime is Regime.AUTOSCALED]
    failed = sorted(str(error) for error in scope.errors if error.kind == HORIZONTAL_POD_AUTOSCALER)
    if not scaled:
        conditions.false(kind, Reason.SCALED_TO_ZERO, "Every zone is Disabled: set the state of one to Active")
        return
    if failed:
        conditions.false(kind, Reason.APPLY_FAILED, "; ".join(failed))
        return
    for zone in scaled:
        said = _conditions(_autoscaler(scope, zone))
        where = f"zone {zone.name}: " if zone.name is not None else ""
        if not said:
            text = f"{where}nothing has looked at HorizontalPodAutoscaler {zone.lws_name} yet"
            conditions.unknown(kind, Reason.AUTOSCALER_PENDING, f"{text}; check that kube-controller-manager runs")
            return
        if _is_false(said, _ABLE):
            conditions.false(kind, Reason.AUTOSCALER_BLOCKED, where + _text(said[_ABLE]))
            return
        if _is_false(said, _ACTIVE):
            text = f"{where}{_text(said[_ACTIVE])}; check that metrics-server runs and that `kubectl top pod` knows"
            conditions.false(kind, Reason.METRICS_UNAVAILABLE, f"{text} the leaders; until then the number stays")
            return
    conditions.true(kind, Reason.AUTOSCALERS_ACTIVE)


def _autoscaler(scope: Scope, zone: ZonePlan) -> Obj | None:
    if zone.regime is not Regime.AUTOSCALED:
        return None
    return scope.children.get(HORIZONTAL_POD_AUTOSCALER, zone.lws_name)


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
    return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
