"""The ScaledObject of a zone whose autoscaler KEDA makes.

Fields: github.com/kedacore/keda v2.20.2, apis/keda/v1alpha1/scaledobject_types.go; triggers: its scalers `prometheus`,
`cpu` and `memory`. KEDA makes a HorizontalPodAutoscaler of its own from it, with our labels.
"""

from __future__ import annotations

from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.autoscaling import Keda
from trireme_operator.api.labels import LABEL_CLUSTER, LABEL_ZONE
from trireme_operator.api.pod_overlay import ENGINE
from trireme_operator.planning import QUEUE_LENGTH, ClusterPlan, ZonePlan, targets
from trireme_operator.rendering.metadata import Obj, metadata, stamp
from trireme_operator.rendering.scaling import behavior_of, scale_target

_POLLING_SECONDS: Final = 15


def scaled_object(cluster: InferenceCluster, plan: ClusterPlan, zone: ZonePlan) -> Obj:
    """What KEDA scales a zone's groups by; it is called as the LeaderWorkerSet that it scales.

    Raises:
        ValueError: the zone is not autoscaled.

    """
    scaling = cluster.spec.autoscaling
    if scaling is None or zone.least is None:
        raise ValueError(f"zone {zone.name} of {cluster.metadata.name} is not autoscaled")
    return stamp(
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": metadata(cluster, zone.lws_name, zone=zone.name),
            "spec": {
                "scaleTargetRef": scale_target(zone),
                "pollingInterval": _POLLING_SECONDS,
                "minReplicaCount": zone.least,
                "maxReplicaCount": zone.max_replicas,
                "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior_of(scaling.behavior)}},
                "triggers": _triggers(cluster, plan, zone, scaling.keda),
            },
        }
    )


def queue_query(cluster: InferenceCluster, zone: ZonePlan) -> str:
    """PromQL of the requests in all groups of a zone, over what the resource's PodMonitor gathers.

    Names are those of labels and objects, so that none of them can end a text within the query.
    """
    labels = {"namespace": cluster.metadata.namespace, _prometheus(LABEL_CLUSTER): cluster.metadata.name}
    if zone.name is not None:
        labels[_prometheus(LABEL_ZONE)] = zone.name
    matchers = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"sum({QUEUE_LENGTH}{{{matchers}}})"


def _triggers(cluster: InferenceCluster, plan: ClusterPlan, zone: ZonePlan, keda: Keda | None) -> list[Obj]:
    wanted = targets(cluster, plan)
    found: list[Obj] = []
    if wanted.queue_milli is not None and keda is not None:
        queue: Obj = {
            "type": "prometheus",
            "name": "queue-length",
            "metricType": "AverageValue",
            "metadata": {
                "serverAddress": keda.server_address,
                "query": queue_query(cluster, zone),
                "threshold": _decimal(wanted.queue_milli),
                # No answer is no 0: with nothing heard from any leader the number of groups stays.
                "ignoreNullValues": "false",
            },
        }
        found.append(queue | ({"authenticationRef": {"name": keda.authentication}} if keda.authentication else {}))
    percentages = {"cpu": wanted.cpu, "memory": wanted.memory}
    return found + [
        {"type": name, "metricType": "Utilization", "metadata": {"value": str(percent), "containerName": ENGINE}}
        for name, percent in percentages.items()
        if percent is not None
    ]


def _prometheus(label: str) -> str:
    """The name that Prometheus gives a label of a pod."""
    return label.translate(str.maketrans("./-", "___"))


def _decimal(milli: int) -> str:
    return f"{milli / 1000:.3f}".rstrip("0").rstrip(".")
