"""More groups in the other zones while one is out: ``spec.failover.survivorFloor``."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from trireme_operator.api import InferenceCluster, WeightReason
from trireme_operator.planning.plan import ClusterPlan, Regime, ZonePlan
from trireme_operator.planning.traffic import LiveTraffic

_LOST: Final = frozenset(
    {WeightReason.SILENT, WeightReason.NO_READY_GROUP, WeightReason.DRAINING, WeightReason.NODE_MAINTENANCE}
)
"""A zone that gets another revision is back soon, and has no devices to spare for."""


def with_survivor_floor(plan: ClusterPlan, cluster: InferenceCluster, live: LiveTraffic | None) -> ClusterPlan:
    """The plan, with the floor of each zone in traffic raised while the route says of another that it is out.

    The route's mark of a zone goes when that has its whole share again, and the floor with it.
    """
    wanted = cluster.spec.failover
    extra = None if wanted is None else wanted.survivor_floor
    if extra is None or live is None or not any(mark.reason in _LOST for mark in live.marks.values()):
        return plan
    return replace(plan, zones=tuple(_zone(zone, live, extra) for zone in plan.zones))


def _zone(zone: ZonePlan, live: LiveTraffic, extra: int) -> ZonePlan:
    survives = zone.name not in live.marks and live.weights.get(zone.name, 0) > 0 and zone.regime is not Regime.HELD
    return zone.floored(max(zone.floor, zone.base + extra)) if survives else zone
