"""The Services: one over all groups, and one for each zone, which the route's weights choose between."""

from __future__ import annotations

from trireme_operator.api import InferenceCluster
from trireme_operator.api.labels import LABEL_CLUSTER, LABEL_ROTATION, LABEL_ZONE, ROTATION_IN
from trireme_operator.api.service import Service, SessionAffinity
from trireme_operator.planning import ClusterPlan, ZonePlan
from trireme_operator.rendering.metadata import Obj, metadata, stamp
from trireme_operator.rendering.service_profiles import PROFILES

PORT = 80


def service(cluster: InferenceCluster, plan: ClusterPlan) -> Obj:
    """The Service over the serving pods of all zones."""
    wanted = cluster.spec.service
    return stamp(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(cluster, plan.service_name, annotations=_annotations(wanted)),
            "spec": _spec(cluster, wanted.type.value, zone=None) | _settings(wanted),
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


def pods_in_rotation(cluster: InferenceCluster, zone: str | None) -> dict[str, str]:
    """The labels of the pods that may get requests, when they are ready: of one zone, or of all."""
    selector = {LABEL_CLUSTER: cluster.metadata.name, LABEL_ROTATION: ROTATION_IN}
    return selector | ({LABEL_ZONE: zone} if zone is not None else {})


def _annotations(wanted: Service) -> dict[str, str]:
    profile = {} if wanted.profile is None else PROFILES[wanted.profile]
    return {**profile, **{item.name: item.value for item in wanted.annotations}}


def _spec(cluster: InferenceCluster, kind: str, *, zone: str | None) -> Obj:
    return {
        "type": kind,
        "selector": pods_in_rotation(cluster, zone),
        "ports": [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}],
    }


def _settings(wanted: Service) -> Obj:
    """What the resource sets, and nothing else: an absent field is the API server's to default."""
    found: Obj = {
        "trafficDistribution": wanted.traffic_distribution,
        "externalTrafficPolicy": wanted.external_traffic_policy,
        "loadBalancerClass": wanted.load_balancer_class,
    }
    result: Obj = {name: str(value) for name, value in found.items() if value is not None}
    if wanted.session_affinity is SessionAffinity.CLIENT_IP:
        result["sessionAffinity"] = wanted.session_affinity.value
        if wanted.session_affinity_seconds is not None:
            result["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": wanted.session_affinity_seconds}}
    if wanted.load_balancer_source_ranges:
        result["loadBalancerSourceRanges"] = list(wanted.load_balancer_source_ranges)
    return result
