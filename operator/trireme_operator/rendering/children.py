"""Every child of a resource in one list: what is applied when none of them exists yet."""

from __future__ import annotations

from collections.abc import Mapping

from trireme_operator.api import InferenceCluster
from trireme_operator.api.autoscaling import MetricsSource
from trireme_operator.planning import ClusterPlan, Regime, ZonePlan, ZoneWeight, revision_name, source_of_metrics
from trireme_operator.rendering.backend_traffic_policy import backend_traffic_policy
from trireme_operator.rendering.horizontal_pod_autoscaler import horizontal_pod_autoscaler
from trireme_operator.rendering.http_route import http_route
from trireme_operator.rendering.inference_pool import inference_pools, wants_pools
from trireme_operator.rendering.leader_worker_set import (
    controller_revision,
    leader_worker_set,
    lws_replicas,
    render_template,
)
from trireme_operator.rendering.metadata import Obj
from trireme_operator.rendering.network_policy import network_policy
from trireme_operator.rendering.pod_disruption_budget import pod_disruption_budget
from trireme_operator.rendering.pod_monitor import pod_monitor
from trireme_operator.rendering.scaled_object import scaled_object
from trireme_operator.rendering.service_account import service_account
from trireme_operator.rendering.services import service, zone_service
from trireme_operator.rendering.settings import Settings


def children(
    cluster: InferenceCluster, plan: ClusterPlan, settings: Settings, weights: Mapping[str | None, ZoneWeight]
) -> list[Obj]:
    """The children in an order in which they can be applied.

    Each LeaderWorkerSet comes twice: whole but without its number of groups, then that number alone, which is applied
    by a field manager of its own. A zone that is disabled has none until it is active.
    """
    name = revision_name(cluster)
    template = render_template(cluster, plan, settings)
    found = [
        service_account(cluster, plan),
        controller_revision(cluster, name=name, number=1, template=template),
    ]
    for zone in plan.zones:
        if zone.regime is not Regime.HELD:
            found.append(leader_worker_set(cluster, plan, zone, revision_name=name, template=template))
            found.append(lws_replicas(cluster, zone))
        if zone.regime is Regime.AUTOSCALED:
            found.append(autoscaler(cluster, plan, zone))
    return [*found, *beside_groups(cluster, plan, settings), *way_in(cluster, plan, weights)]


def autoscaler(cluster: InferenceCluster, plan: ClusterPlan, zone: ZonePlan) -> Obj:
    """What scales an autoscaled zone: one of the two kinds, never both.

    Raises:
        ValueError: the zone is not autoscaled.

    """
    scaling = cluster.spec.autoscaling
    by_keda = scaling is not None and source_of_metrics(scaling) is MetricsSource.KEDA
    return (scaled_object if by_keda else horizontal_pod_autoscaler)(cluster, plan, zone)


def beside_groups(cluster: InferenceCluster, plan: ClusterPlan, settings: Settings) -> list[Obj]:
    """The children that no group waits for, without those of the gateway."""
    found = [service(cluster, plan)]
    for zone in plan.zones:
        found.append(pod_disruption_budget(cluster, zone))
        peers = network_policy(cluster, zone, settings)
        if peers is not None:
            found.append(peers)
        if plan.zoned:
            found.append(zone_service(cluster, plan, zone))
    monitor = pod_monitor(cluster, plan)
    if monitor is not None:
        found.append(monitor)
    return found


def way_in(cluster: InferenceCluster, plan: ClusterPlan, weights: Mapping[str | None, ZoneWeight]) -> list[Obj]:
    """What the gateway goes by, where all that it may ask for is there; the route behind what it leads to."""
    if cluster.spec.gateway is None:
        return []
    policy = backend_traffic_policy(cluster, plan)
    route = http_route(cluster, plan, weights, to_pools=wants_pools(cluster))
    return [*inference_pools(cluster, plan), *([] if policy is None else [policy]), route]
