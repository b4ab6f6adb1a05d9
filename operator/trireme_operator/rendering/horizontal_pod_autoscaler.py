"""The HorizontalPodAutoscaler of an autoscaled zone.

It counts groups, not pods: LeaderWorkerSet's scale subresource selects the leaders only (sigs.k8s.io/lws v0.9.0,
status.hpaPodSelector). Fields: k8s.io/api v0.36.3, autoscaling/v2/types.go.
"""

from __future__ import annotations

from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.autoscaling import Autoscaling, PolicyType, ScaleDown, ScaleUp, ScalingPolicy
from trireme_operator.api.pod_overlay import ENGINE
from trireme_operator.planning import ZonePlan
from trireme_operator.rendering.metadata import Obj, metadata, stamp

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


def horizontal_pod_autoscaler(cluster: InferenceCluster, zone: ZonePlan) -> Obj:
    """The autoscaler of a zone's groups; it is called as the LeaderWorkerSet that it scales.

    Raises:
        ValueError: the zone is not autoscaled.

    """
    scaling = cluster.spec.autoscaling
    if scaling is None or zone.least is None:
        raise ValueError(f"zone {zone.name} of {cluster.metadata.name} is not autoscaled")
    return stamp(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": metadata(cluster, zone.lws_name, zone=zone.name),
            "spec": {
                "scaleTargetRef": {
                    "apiVersion": "leaderworkerset.x-k8s.io/v1",
                    "kind": "LeaderWorkerSet",
                    "name": zone.lws_name,
                },
                "minReplicas": zone.least,
                "maxReplicas": zone.max_replicas,
                "metrics": _metrics(scaling),
                "behavior": {
                    "scaleUp": _rules(scaling.behavior.scale_up, *_UP),
                    "scaleDown": _rules(scaling.behavior.scale_down, *_DOWN),
                },
            },
        }
    )


def _metrics(scaling: Autoscaling) -> list[Obj]:
    """Of the engine's container alone: a metric of the whole pod needs a request on every container of it."""
    wanted = {"cpu": scaling.metrics.cpu, "memory": scaling.metrics.memory}
    return [
        {
            "type": "ContainerResource",
            "containerResource": {
                "name": name,
                "container": ENGINE,
                "target": {"type": "Utilization", "averageUtilization": percent},
            },
        }
        for name, percent in wanted.items()
        if percent is not None
    ]


def _rules(given: ScaleUp | ScaleDown, window_seconds: int, policies: tuple[ScalingPolicy, ...]) -> Obj:
    window = given.stabilization_window_seconds
    return {
        "stabilizationWindowSeconds": window_seconds if window is None else window,
        "selectPolicy": given.select_policy.value,
        "policies": [
            {"type": _POLICY_TYPES[policy.type], "value": policy.value, "periodSeconds": policy.period_seconds}
            for policy in given.policies or policies
        ],
    }
