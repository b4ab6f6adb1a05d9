"""What a resource comes to: the shape of its groups, its zones and the names of its objects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from trireme_operator.api import InferenceCluster, InvalidResource, Violation
from trireme_operator.api.autoscaling import Autoscaling
from trireme_operator.api.zones import Zone, ZoneState
from trireme_operator.planning import names
from trireme_operator.planning.balancing import balancing_interval
from trireme_operator.planning.endpoint_picker import pickers
from trireme_operator.planning.geometry import GroupGeometry, geometry
from trireme_operator.planning.restarts import RestartPolicy, restart_policy

POOL_WEIGHT = 100
"""Weight of the only backend of a resource without zones; any number but 0 means the same."""


class Regime(StrEnum):
    """Who says how many groups a zone has."""

    FIXED = "Fixed"
    """The resource: its number is kept."""
    AUTOSCALED = "Autoscaled"
    """The autoscaler, once it was given a number to start with."""
    HELD = "Held"
    """Nobody: the zone is disabled and has none."""


@dataclass(frozen=True)
class ZonePlan:
    """One zone; ``name`` is None for the pool of a resource without zones.

    ``replicas``: groups to have, or with autoscaling to start with; 0 for a zone that is held. ``min_replicas`` and
    ``max_replicas`` are None unless the zone is autoscaled. ``floor``: groups that the zone should have for the sake of
    others that fail, 0 for none.
    """

    name: str | None
    lws_name: str
    service_name: str
    replicas: int
    weight: int
    regime: Regime = Regime.FIXED
    min_replicas: int | None = None
    max_replicas: int | None = None
    floor: int = 0

    @property
    def wanted(self) -> int:
        """Groups of a zone that is not autoscaled: with the floor, and none of one that is held."""
        return 0 if self.regime is Regime.HELD else max(self.replicas, self.floor)

    @property
    def least(self) -> int | None:
        """Fewest groups that the autoscaler leaves the zone: with the floor, as far as the most allows."""
        if self.min_replicas is None or self.max_replicas is None:
            return None
        return max(self.min_replicas, min(self.floor, self.max_replicas))

    def floored(self, groups: int) -> ZonePlan:
        """The zone with so many groups as its floor."""
        return replace(self, floor=groups)

    @property
    def pool_name(self) -> str:
        """The zone's InferencePool: called like its groups."""
        return self.lws_name

    @property
    def base(self) -> int:
        """Ready groups that the zone's whole weight takes: more of them, by an autoscaler, take no more traffic."""
        return self.replicas if self.min_replicas is None else self.min_replicas


@dataclass(frozen=True)
class ClusterPlan:
    """One resource. Zones are in the order of the spec; there is at least one.

    ``balancing``: seconds between two steps by which a zone with a longer queue gets less; None for no such steps.
    """

    name: str
    namespace: str
    geometry: GroupGeometry
    zones: tuple[ZonePlan, ...]
    service_name: str
    route_name: str
    service_account_name: str
    pod_monitor_name: str
    restarts: RestartPolicy
    balancing: int | None = None

    @property
    def zoned(self) -> bool:
        """Whether the resource names its zones."""
        return self.zones[0].name is not None

    @property
    def pools(self) -> dict[str | None, str]:
        """What the InferencePools are called, by the names of zones."""
        return {zone.name: zone.pool_name for zone in self.zones}


def plan(cluster: InferenceCluster) -> ClusterPlan:
    """The plan of a resource: the same for the same spec, whatever the cluster looks like.

    Raises:
        InvalidResource: no plan is possible; the violation says which field to change.

    """
    name, zones = cluster.metadata.name, cluster.spec.zones
    if zones is None:
        planned: tuple[ZonePlan, ...] = (_pool(cluster),)
    else:
        planned = tuple(_zone(name, zone, cluster.spec.autoscaling) for zone in zones)
    shape = geometry(cluster)
    _check_scheduling(cluster, shape)
    found = ClusterPlan(
        name=name,
        namespace=cluster.metadata.namespace,
        geometry=shape,
        zones=planned,
        service_name=names.service_name(name),
        route_name=names.route_name(name),
        service_account_name=names.service_account_name(name),
        pod_monitor_name=names.pod_monitor_name(name),
        restarts=restart_policy(cluster.spec.restarts),
        balancing=balancing_interval(cluster),
    )
    pickers(cluster, found.pools)  # whether each pool has one of its own
    return found


def _check_scheduling(cluster: InferenceCluster, shape: GroupGeometry) -> None:
    wanted = cluster.spec.scheduling
    if wanted is not None and shape.pods == 1 and not wanted.exclusive:
        path, key = "spec.scheduling.topologyKey", wanted.topology_key
        text = f"{key} has no effect: a group is one pod, which is on one node; remove it, or set exclusive to true"
        raise InvalidResource(Violation(path, text))


def _pool(cluster: InferenceCluster) -> ZonePlan:
    spec, name = cluster.spec, cluster.metadata.name
    scaling = spec.autoscaling
    least = None if scaling is None else scaling.min_replicas
    return ZonePlan(
        name=None,
        lws_name=names.lws_name(name, None),
        service_name=names.zone_service_name(name, None),
        replicas=_start(spec.replicas, least),
        weight=POOL_WEIGHT,
        regime=Regime.FIXED if scaling is None else Regime.AUTOSCALED,
        min_replicas=least,
        max_replicas=None if scaling is None else scaling.max_replicas,
    )


def _zone(cluster: str, zone: Zone, scaling: Autoscaling | None) -> ZonePlan:
    held = zone.state is ZoneState.DISABLED
    least, most = (None, None) if scaling is None or held else _bounds(zone, scaling)
    scaled = Regime.FIXED if least is None else Regime.AUTOSCALED
    return ZonePlan(
        name=zone.name,
        lws_name=names.lws_name(cluster, zone.name),
        service_name=names.zone_service_name(cluster, zone.name),
        replicas=0 if held else _start(zone.replicas, least),
        weight=zone.weight,
        regime=Regime.HELD if held else scaled,
        min_replicas=least,
        max_replicas=most,
    )


def _bounds(zone: Zone, scaling: Autoscaling) -> tuple[int, int]:
    least = scaling.min_replicas if zone.min_replicas is None else zone.min_replicas
    return least, scaling.max_replicas if zone.max_replicas is None else zone.max_replicas


def _start(replicas: int | None, least: int | None) -> int:
    """What the resource says, never less than the autoscaler's least; else that least, or one group."""
    return max(least or 0, (least or 1) if replicas is None else replicas)
