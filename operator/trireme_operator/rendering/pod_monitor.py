"""The PodMonitor of a resource: how the Prometheus Operator finds the metrics of its pods.

The launcher of every pod is read, the engine only where it serves HTTP: those pods carry the rotation label, whether
they are in rotation or not, so that the metrics of a pod that is out of traffic go on.

Fields: github.com/prometheus-operator/prometheus-operator v0.85.0, pkg/apis/monitoring/v1/podmonitor_types.go.
"""

from __future__ import annotations

from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.labels import (
    LABEL_CLUSTER,
    LABEL_ROLE,
    LABEL_ROTATION,
    LABEL_ZONE,
    LWS_LABEL_GROUP_INDEX,
    LWS_LABEL_WORKER_INDEX,
)
from trireme_operator.api.monitoring import PodMonitorMode
from trireme_operator.planning import ClusterPlan
from trireme_operator.rendering.metadata import Obj, metadata, stamp

# What Prometheus makes of a label's key (prometheus/prometheus, discovery/kubernetes/pod.go).
_HAS_ROTATION: Final = "__meta_kubernetes_pod_labelpresent_" + LABEL_ROTATION.translate(str.maketrans("./-", "___"))
_TARGET_LABELS: Final = (LABEL_CLUSTER, LABEL_ZONE, LABEL_ROLE, LWS_LABEL_GROUP_INDEX, LWS_LABEL_WORKER_INDEX)


def pod_monitor(cluster: InferenceCluster, plan: ClusterPlan) -> Obj | None:
    """The PodMonitor over the pods of all zones; None when the resource wants none."""
    wanted = cluster.spec.monitoring
    if wanted.pod_monitor is PodMonitorMode.NEVER:
        return None
    meta = metadata(cluster, plan.pod_monitor_name)
    meta["labels"] = {label.name: label.value for label in wanted.pod_monitor_labels} | meta["labels"]
    serving = {"action": "keep", "sourceLabels": [_HAS_ROTATION], "regex": "true"}
    return stamp(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PodMonitor",
            "metadata": meta,
            "spec": {
                "selector": {"matchLabels": {LABEL_CLUSTER: plan.name}},
                "podTargetLabels": list(_TARGET_LABELS),
                "podMetricsEndpoints": [
                    {"port": "launcher", "path": "/metrics"},
                    {"port": "http", "path": "/metrics", "relabelings": [serving]},
                ],
            },
        }
    )
