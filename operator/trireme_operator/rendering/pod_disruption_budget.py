"""The PodDisruptionBudget of a zone: one eviction breaks one group, and none other is allowed until that one is whole.

It counts all pods of the LeaderWorkerSet, workers included, because the loss of any of them ends its group. A pod that
is not ready may always be evicted: a broken group has nothing to lose, and would hold up the drain of its nodes.

Fields: k8s.io/api v0.36.3, policy/v1/types.go.
"""

from __future__ import annotations

from trireme_operator.api import InferenceCluster
from trireme_operator.api.labels import LWS_LABEL_NAME
from trireme_operator.planning import ZonePlan
from trireme_operator.rendering.metadata import Obj, metadata, stamp


def pod_disruption_budget(cluster: InferenceCluster, zone: ZonePlan) -> Obj:
    """The budget over all pods of a zone's LeaderWorkerSet, of the same name."""
    return stamp(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(cluster, zone.lws_name, zone=zone.name),
            "spec": {
                "maxUnavailable": 1,
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
                "selector": {"matchLabels": {LWS_LABEL_NAME: zone.lws_name}},
            },
        }
    )
