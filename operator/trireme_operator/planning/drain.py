"""Taking a zone out of service on purpose: who asks for it, whether the others can bear it, and what comes next.

Nothing is remembered between two decisions: how far a drain has come is told by the live route, the launchers and the
zone's number of groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.conditions import DrainPhase
from trireme_operator.api.labels import DRAIN_PREFIX
from trireme_operator.api.zones import ZoneState
from trireme_operator.planning.engine_settings import engine_settings
from trireme_operator.planning.geometry import geometry
from trireme_operator.planning.plan import ClusterPlan, Regime, ZonePlan
from trireme_operator.planning.rollout import ZoneName, ZoneRun
from trireme_operator.planning.zone_facts import Hold


class DrainWish(StrEnum):
    """What is asked for, by the spec's `state` or by the annotation of `trireme drain`."""

    ACTIVE = "Active"
    DRAINING = "Draining"
    """While the other zones can take the load."""
    FORCED = "Forced"
    """The same, whether they can or not; only the annotation asks for it."""
    DISABLED = "Disabled"
    """At once."""


STRICTNESS: Final = tuple(DrainWish)
"""Of two wishes the later one counts."""


@dataclass(frozen=True)
class Drain:
    """How far a zone's drain has come. ``ends``: its groups are ended now."""

    phase: DrainPhase
    message: str
    hold: Hold | None = None

    @property
    def ends(self) -> bool:
        """Whether the zone is to have no group any more."""
        return self.phase in {DrainPhase.ENDING, DrainPhase.DRAINED}


def drain_wishes(cluster: InferenceCluster) -> dict[ZoneName, DrainWish]:
    """The stricter of the spec's and the annotations' wish, for each zone that is not to be active."""
    found: dict[ZoneName, DrainWish] = {}
    for zone in cluster.spec.zones or []:
        wishes = (_of_spec(zone.state), _of_annotation(cluster.metadata.annotations, zone.name))
        wish = max(wishes, key=STRICTNESS.index)
        if wish is not DrainWish.ACTIVE:
            found[zone.name] = wish
    return found


def unknown_drains(cluster: InferenceCluster) -> list[str]:
    """Annotations of drains that name no zone of the spec."""
    zones = {zone.name for zone in cluster.spec.zones or []}
    keys = (key for key in cluster.metadata.annotations if key.startswith(DRAIN_PREFIX))
    return sorted(key for key in keys if key.removeprefix(DRAIN_PREFIX) not in zones)


def drain(zone: ZoneRun, others: Sequence[ZoneRun], wish: DrainWish, *, seats: int | None) -> Drain:
    """The next step of a zone's drain. ``others`` that are to leave too are marked so.

    ``seats``: requests that a group runs at a time, None where the spec doesn't say.

    - `Disabled`: its groups end once no gateway sends it anything.
    - `Draining`: refused while the zone has its traffic and no other zone serves, or while those that do could not run
      what runs now. Its weight goes first, then what runs is waited for, then its groups end.
    - What has been taken out stays so as long as somebody else serves.
    """
    if zone.idle:
        return Drain(DrainPhase.DRAINED, "Drained: the zone has no groups", _held(wish))
    if wish is DrainWish.DISABLED:
        text = f"{zone.groups} groups are ended when every gateway has taken up that the zone gets no traffic"
        return Drain(DrainPhase.ENDING, text, Hold.DISABLED)
    survivors = [other for other in others if other.serves and other.share != 0]
    why_not = refusal(zone, survivors, seats=seats)
    if why_not and wish is not DrainWish.FORCED:
        return Drain(DrainPhase.REFUSED, f"not drained: {why_not}")
    hold = Hold.DRAINING if survivors else Hold.DISABLED
    if zone.share is not None and not zone.unreached:
        return Drain(DrainPhase.MOVING, "draining: its traffic moves to the other zones", hold)
    if zone.share is not None and zone.running:
        text = f"draining: {zone.running} requests that still run are waited for"
        return Drain(DrainPhase.WAITING, text, hold)
    return Drain(DrainPhase.ENDING, f"draining: {zone.groups} groups are being ended", hold)


def refusal(zone: ZoneRun, survivors: Sequence[ZoneRun], *, seats: int | None) -> str | None:
    """Why the survivors can't take the zone's load, with the sum; None when they can, or nobody knows better."""
    if not survivors:
        return (
            "no other zone has a ready group that takes traffic; wait for one, or force it (trireme drain --force) and"
            " the resource answers nothing"
        )
    begun = zone.share is not None and zone.share < zone.weight
    running = [each.running for each in (zone, *survivors)]
    if begun or seats is None or None in running:
        return None
    load = sum(each or 0 for each in running)
    groups = sum(max(each.ready, each.most or 0) for each in survivors)
    if load <= groups * seats:
        return None
    names = ", ".join(str(each.name) for each in survivors)
    return (
        f"{load} requests run and wait in zones {zone.name}, {names}, and without {zone.name} there is room for"
        f" {groups * seats}: {groups} groups in {names} x {seats} at a time; add groups there, wait for less load, or"
        " force it (trireme drain --force)"
    )


def with_drains(plan: ClusterPlan, drains: Mapping[ZoneName, Drain], runs: Sequence[ZoneRun]) -> ClusterPlan:
    """The plan, with no groups in the zones whose groups end, and more in autoscaled ones that take their load."""
    by_name = {run.name: run for run in runs}
    leaving = [by_name[name].groups for name, found in drains.items() if found.phase is not DrainPhase.REFUSED]
    staying = [run for run in runs if run.name not in drains and run.serves]
    extra = -(-sum(leaving) // len(staying)) if staying else 0
    return replace(plan, zones=tuple(_zone(zone, drains.get(zone.name), extra, staying) for zone in plan.zones))


def _zone(zone: ZonePlan, found: Drain | None, extra: int, staying: Sequence[ZoneRun]) -> ZonePlan:
    if found is not None and found.ends:
        return replace(zone, regime=Regime.HELD, replicas=0, min_replicas=None, max_replicas=None)
    if extra and zone.min_replicas is not None and any(run.name == zone.name for run in staying):
        return replace(zone, floor=max(zone.floor, zone.min_replicas + extra))
    return zone


def _held(wish: DrainWish) -> Hold:
    return Hold.DISABLED if wish is DrainWish.DISABLED else Hold.DRAINING


def _of_spec(state: ZoneState) -> DrainWish:
    return DrainWish(state.value)


def _of_annotation(annotations: Mapping[str, str], zone: str) -> DrainWish:
    """Whatever is written there asks for a drain; only the one word forces it."""
    value = annotations.get(f"{DRAIN_PREFIX}{zone}", "")
    if value == DrainWish.FORCED:
        return DrainWish.FORCED
    return DrainWish.DRAINING if value else DrainWish.ACTIVE


def group_seats(cluster: InferenceCluster) -> int | None:
    """Requests that a group runs at a time: the engine's `maxNumSeqs`, of each replica in the group."""
    seats = next((each.value for each in engine_settings(cluster) if each.name == "maxNumSeqs"), None)
    return None if seats is None else int(seats) * geometry(cluster).data
