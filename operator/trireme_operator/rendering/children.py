"""Every child of a resource in one list: what is applied when none of them exists yet."""

from __future__ import annotations

from collections.abc import Mapping

from trireme_operator.api import InferenceCluster
from trireme_operator.planning import ClusterPlan, Regime, ZoneWeight, revision_name
from trireme_operator.rendering.backend_traffic_policy import backend_traffic_policy
from trireme_operator.rendering.horizontal_pod_autoscaler import horizontal_pod_autoscaler
from trireme_operator.rendering.http_route import http_route
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
            found.append(horizontal_pod_autoscaler(cluster, zone))
    return [*found, *beside_groups(cluster, plan, settings, weights)]


def beside_groups(
    cluster: InferenceCluster, plan: ClusterPlan, settings: Settings, weights: Mapping[str | None, ZoneWeight]
) -> list[Obj]:
    """The children that no group waits for; the route is the last one, behind what it must not be without."""
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
    policy = backend_traffic_policy(cluster, plan)
    if policy is not None:
        found.append(policy)
    if cluster.spec.gateway is not None:
        found.append(http_route(cluster, plan, weights))
    return found
