"""The HorizontalPodAutoscaler of an autoscaled zone.

It counts groups, not pods: LeaderWorkerSet's scale subresource selects the leaders only (sigs.k8s.io/lws v0.9.0,
status.hpaPodSelector). Fields: k8s.io/api v0.36.3, autoscaling/v2/types.go.
"""

from __future__ import annotations

from trireme_operator.api import InferenceCluster
from trireme_operator.api.pod_overlay import ENGINE
from trireme_operator.planning import QUEUE_LENGTH, ClusterPlan, Targets, ZonePlan, targets
from trireme_operator.rendering.custom_metrics import custom_metric
from trireme_operator.rendering.metadata import Obj, metadata, stamp
from trireme_operator.rendering.scaling import behavior_of, scale_target


def horizontal_pod_autoscaler(cluster: InferenceCluster, plan: ClusterPlan, zone: ZonePlan) -> Obj:
    """The autoscaler of a zone's groups; it is called as the LeaderWorkerSet that it scales.

    Raises:
        ValueError: the zone is not autoscaled.

    """
    scaling = cluster.spec.autoscaling
    if scaling is None or zone.least is None:
        raise ValueError(f"zone {zone.name} of {cluster.metadata.name} is not autoscaled")
    further = [custom_metric(metric) for metric in scaling.custom_metrics or ()]
    return stamp(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": metadata(cluster, zone.lws_name, zone=zone.name),
            "spec": {
                "scaleTargetRef": scale_target(zone),
                "minReplicas": zone.least,
                "maxReplicas": zone.max_replicas,
                "metrics": [*_metrics(targets(cluster, plan)), *further],
                "behavior": behavior_of(scaling.behavior),
            },
        }
    )


def _metrics(wanted: Targets) -> list[Obj]:
    """Of the engine's container alone: a metric of the whole pod needs a request on every container of it."""
    queue: list[Obj] = []
    if wanted.queue_length is not None:
        target = {"type": "AverageValue", "averageValue": wanted.queue_length}
        queue = [{"type": "Pods", "pods": {"metric": {"name": QUEUE_LENGTH}, "target": target}}]
    percentages = {"cpu": wanted.cpu, "memory": wanted.memory}
    return queue + [
        {
            "type": "ContainerResource",
            "containerResource": {
                "name": name,
                "container": ENGINE,
                "target": {"type": "Utilization", "averageUtilization": percent},
            },
        }
        for name, percent in percentages.items()
        if percent is not None
    ]
