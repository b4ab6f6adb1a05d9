"""The InferencePools: what endpoint pickers choose from, one for each zone, as its Service would have it.

A picker, and a gateway that has none to ask, takes the ready pods of the selector
(github.com/llm-d/llm-d-router v0.10.0, pkg/epp/controller/pod_reconciler.go).

Fields: sigs.k8s.io/gateway-api-inference-extension v1.6.0, api/v1/inferencepool_types.go; those of v1.0 only, because
an older definition would refuse others.
"""

from __future__ import annotations

from trireme_operator.api import InferenceCluster
from trireme_operator.planning import ClusterPlan, pickers
from trireme_operator.rendering.engine import ENGINE_PORT
from trireme_operator.rendering.metadata import Obj, metadata, stamp
from trireme_operator.rendering.services import pods_in_rotation


def wants_pools(cluster: InferenceCluster) -> bool:
    """Whether endpoint pickers are to choose among the groups of a zone."""
    return cluster.spec.gateway is not None and cluster.spec.gateway.endpoint_picker is not None


def inference_pools(cluster: InferenceCluster, plan: ClusterPlan) -> list[Obj]:
    """One for each zone, in their order; none when the gateway is to choose."""
    found = pickers(cluster, plan.pools)
    return [
        stamp(
            {
                "apiVersion": "inference.networking.k8s.io/v1",
                "kind": "InferencePool",
                "metadata": metadata(cluster, zone.pool_name, zone=zone.name),
                "spec": {
                    "selector": {"matchLabels": pods_in_rotation(cluster, zone.name)},
                    "targetPorts": [{"number": ENGINE_PORT}],
                    "endpointPickerRef": {
                        "group": "",
                        "kind": "Service",
                        "name": found[zone.name].service,
                        "port": {"number": found[zone.name].port},
                        "failureMode": found[zone.name].failure_mode.value,
                    },
                },
            }
        )
        for zone in plan.zones
        if zone.name in found
    ]
