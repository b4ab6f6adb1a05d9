"""What a resource comes to: the shape of its groups, its zones and the names of its objects."""

from __future__ import annotations

from dataclasses import dataclass

from trireme_operator.api import InferenceCluster, InvalidResource, Violation
from trireme_operator.planning import names
from trireme_operator.planning.geometry import GroupGeometry, geometry

POOL_WEIGHT = 100
"""Weight of the only backend of a resource without zones; any number but 0 means the same."""


@dataclass(frozen=True)
class ZonePlan:
    """One zone; ``name`` is None for the pool of a resource without zones."""

    name: str | None
    lws_name: str
    service_name: str
    replicas: int
    weight: int


@dataclass(frozen=True)
class ClusterPlan:
    """One resource. Zones are in the order of the spec; there is at least one."""

    name: str
    namespace: str
    geometry: GroupGeometry
    zones: tuple[ZonePlan, ...]
    service_name: str
    route_name: str
    service_account_name: str
    pod_monitor_name: str

    @property
    def zoned(self) -> bool:
        """Whether the resource names its zones."""
        return self.zones[0].name is not None


def plan(cluster: InferenceCluster) -> ClusterPlan:
    """The plan of a resource: the same for the same spec, whatever the cluster looks like.

    Raises:
        InvalidResource: no plan is possible; the violation says which field to change.

    """
    name, zones = cluster.metadata.name, cluster.spec.zones
    if zones is None:
        replicas = 1 if cluster.spec.replicas is None else cluster.spec.replicas
        planned: tuple[ZonePlan, ...] = (_zone(name, None, replicas, POOL_WEIGHT),)
    else:
        planned = tuple(_zone(name, zone.name, zone.replicas, zone.weight) for zone in zones)
    shape = geometry(cluster)
    _check_scheduling(cluster, shape)
    return ClusterPlan(
        name=name,
        namespace=cluster.metadata.namespace,
        geometry=shape,
        zones=planned,
        service_name=names.service_name(name),
        route_name=names.route_name(name),
        service_account_name=names.service_account_name(name),
        pod_monitor_name=names.pod_monitor_name(name),
    )


def _check_scheduling(cluster: InferenceCluster, shape: GroupGeometry) -> None:
    wanted = cluster.spec.scheduling
    if wanted is not None and shape.pods == 1 and not wanted.exclusive:
        path, key = "spec.scheduling.topologyKey", wanted.topology_key
        text = f"{key} has no effect: a group is one pod, which is on one node; remove it, or set exclusive to true"
        raise InvalidResource(Violation(path, text))


def _zone(cluster: str, zone: str | None, replicas: int, weight: int) -> ZonePlan:
    return ZonePlan(
        name=zone,
        lws_name=names.lws_name(cluster, zone),
        service_name=names.zone_service_name(cluster, zone),
        replicas=replicas,
        weight=weight,
    )
