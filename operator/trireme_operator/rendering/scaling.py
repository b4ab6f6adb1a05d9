"""What a HorizontalPodAutoscaler and a ScaledObject have in common: bounds in groups, and how fast they move."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.autoscaling import Behavior, PolicyType, ScaleDown, ScaleUp, ScalingPolicy
from trireme_operator.api.quantity import canonical
from trireme_operator.planning import ZonePlan
from trireme_operator.rendering.metadata import Obj

# A group takes minutes to load its model. So what is needed is asked for at once, yet at most doubled in a minute, in
# which the metrics of what was added before can count; and what is loaded is kept through a pause of the load.
_UP: Final = (
    0,
    (
        ScalingPolicy(type=PolicyType.GROUPS, value=2, period_seconds=60),
        ScalingPolicy(type=PolicyType.PERCENT, value=100, period_seconds=60),
    ),
)
_DOWN: Final = (600, (ScalingPolicy(type=PolicyType.GROUPS, value=1, period_seconds=120),))
_POLICY_TYPES: Final = {PolicyType.GROUPS: "Pods", PolicyType.PERCENT: "Percent"}


def scale_target(zone: ZonePlan) -> Obj:
    """The reference to the zone's LeaderWorkerSet, whose scale subresource counts groups."""
    return {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": zone.lws_name}


def behavior_of(behavior: Behavior) -> Obj:
    """The rules of both directions, with our defaults where nothing is set."""
    return {"scaleUp": _rules(behavior.scale_up, *_UP), "scaleDown": _rules(behavior.scale_down, *_DOWN)}


def _rules(given: ScaleUp | ScaleDown, window_seconds: int, policies: tuple[ScalingPolicy, ...]) -> Obj:
    window, percent = given.stabilization_window_seconds, given.tolerance_percent
    rules: Obj = {
        "stabilizationWindowSeconds": window_seconds if window is None else window,
        "selectPolicy": given.select_policy.value,
        "policies": [
            {"type": _POLICY_TYPES[policy.type], "value": policy.value, "periodSeconds": policy.period_seconds}
            for policy in given.policies or policies
        ],
    }
    # An API server without the field refuses it, so it is left to its default of 10 % unless it is asked for.
    return rules if percent is None else rules | {"tolerance": canonical(f"{percent * 10}m")}
