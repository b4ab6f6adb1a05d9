"""The ServiceAccount of the pods: it may do nothing and gets no token."""

from __future__ import annotations

from trireme_operator.api import InferenceCluster
from trireme_operator.planning import ClusterPlan
from trireme_operator.rendering.metadata import Obj, metadata, stamp


def service_account(cluster: InferenceCluster, plan: ClusterPlan) -> Obj:
    """The account that every pod of the resource runs as."""
    return stamp(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(cluster, plan.service_account_name),
            "automountServiceAccountToken": False,
        }
    )
