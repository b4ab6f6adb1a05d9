"""The Services: one over all groups, and one for each zone, which the route's weights choose between."""

from __future__ import annotations

from trireme_operator.api import InferenceCluster
from trireme_operator.api.labels import LABEL_CLUSTER, LABEL_ROTATION, LABEL_ZONE, ROTATION_IN
from trireme_operator.planning import ClusterPlan, ZonePlan
from trireme_operator.rendering.metadata import Obj, metadata, stamp

PORT = 80


def service(cluster: InferenceCluster, plan: ClusterPlan) -> Obj:
    """The Service over the serving pods of all zones."""
    annotations = {item.name: item.value for item in cluster.spec.service.annotations}
    return stamp(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(cluster, plan.service_name, annotations=annotations),
            "spec": _spec(cluster, cluster.spec.service.type.value, zone=None),
        }
    )


def zone_service(cluster: InferenceCluster, plan: ClusterPlan, zone: ZonePlan) -> Obj:
    """The Service over the serving pods of one zone; without zones there is none but the Service over all."""
    if zone.name is None:
        return service(cluster, plan)
    return stamp(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(cluster, zone.service_name, zone=zone.name),
            "spec": _spec(cluster, "ClusterIP", zone=zone.name),
        }
    )


def _spec(cluster: InferenceCluster, kind: str, *, zone: str | None) -> Obj:
    selector = {LABEL_CLUSTER: cluster.metadata.name, LABEL_ROTATION: ROTATION_IN}
    return {
        "type": kind,
        "selector": selector | ({LABEL_ZONE: zone} if zone is not None else {}),
        "ports": [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}],
    }
