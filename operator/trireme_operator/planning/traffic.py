"""The weight of each zone in the route.

By the Gateway API a backend without endpoints keeps its share of the requests, as errors, so weights are ours to move:
away from a zone without a ready group, and only while another zone can take them. When no zone is ready there is
nobody to move traffic to and perhaps only the observer is broken; then nothing is moved, and the live route is the
memory of what was out of traffic before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trireme_operator.api import WeightReason
from trireme_operator.planning.plan import ClusterPlan, Regime, ZonePlan


@dataclass(frozen=True)
class ZoneWeight:
    """A zone's weight, relative to the others, and why it is that."""

    weight: int
    reason: WeightReason


def weights(
    plan: ClusterPlan, *, ready: Mapping[str | None, int], live: Mapping[str | None, int] | None
) -> dict[str | None, ZoneWeight]:
    """The weight of every zone of the plan, by the zone's name.

    ``ready``: ready groups by zone; a zone that is absent has none. ``live``: weights of the route that is there now,
    by zone, or None without a route.

    - A zone with ready groups: spec weight x min(1, ready / base), never rounded to 0. The base is what the spec asks
      for, with autoscaling the least; more groups count no more, so scaling one zone up takes no traffic from another.
    - A zone without a ready group, while another has one: 0.
    - No zone ready: the spec's weights; but a zone that is at 0 in the live route stays there while another is not.
    - A zone to which the spec gives no weight or no groups, or that is disabled: 0.
    """
    wanted = [zone for zone in plan.zones if zone.weight > 0 and zone.replicas > 0]
    anything_ready = any(ready.get(zone.name, 0) > 0 for zone in wanted)
    held = set() if anything_ready or live is None else _held(wanted, live)
    result = {}
    for zone in plan.zones:
        if zone.regime is Regime.HELD:
            result[zone.name] = ZoneWeight(0, WeightReason.DISABLED)
        elif zone not in wanted:
            result[zone.name] = ZoneWeight(0, WeightReason.NOT_ASKED_FOR)
        elif zone.name in held:
            result[zone.name] = ZoneWeight(0, WeightReason.HELD_AT_ZERO)
        elif not anything_ready:
            result[zone.name] = ZoneWeight(zone.weight, WeightReason.NOTHING_READY)
        else:
            result[zone.name] = _share(zone, ready.get(zone.name, 0))
    return result


def _share(zone: ZonePlan, ready: int) -> ZoneWeight:
    if ready <= 0:
        return ZoneWeight(0, WeightReason.NO_READY_GROUP)
    if ready >= zone.base:
        return ZoneWeight(zone.weight, WeightReason.HEALTHY)
    return ZoneWeight(max(1, zone.weight * ready // zone.base), WeightReason.PARTLY_READY)


def _held(wanted: list[ZonePlan], live: Mapping[str | None, int]) -> set[str | None]:
    """Zones at 0 in the live route, unless that is all of them; a zone that the route doesn't have yet is not held."""
    at_zero = {zone.name for zone in wanted if live.get(zone.name) == 0}
    in_traffic = any(live.get(zone.name, 0) > 0 for zone in wanted)
    return at_zero if in_traffic else set()
