"""Which zones get a new template now, and which zone is out of traffic for it.

Nothing is remembered between two decisions but what the zones' children show: the revision that a LeaderWorkerSet
names, the mark that it is being rolled out (`trireme.dev/rolling-out`, with the time of the beginning), its ready
groups, and the live route. So whoever decides next goes on where the last one stopped, wherever that was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.rollout import PROGRESS_DEADLINE_SECONDS, Rollout, RolloutStrategy

ZoneName = str | None


@dataclass(frozen=True)
class RolloutOrder:
    """What ``spec.rollout`` asks for; ``deadline`` in seconds."""

    by_zone: bool = True
    paused: bool = False
    deadline: int = PROGRESS_DEADLINE_SECONDS


@dataclass(frozen=True)
class ZoneRun:
    """What a zone runs, as its children show it.

    ``revision``: what its LeaderWorkerSet is made from, None without one. ``groups``: those it has or should have.
    ``needed``: ready groups that make it whole. ``updating``: LeaderWorkerSet still replaces groups, or has not looked
    at the latest template. ``since``: when this revision came, in seconds since the epoch, while it is not yet known to
    have become ready; else None. ``weight``: the spec's. ``share``: the live route's, before balancing, None without a
    route. ``unreached``: the route sends it nothing, and every gateway knows. ``running``: unfinished requests, None
    where nobody says. ``most``: groups that an autoscaler may give it. ``leaving``: it is drained or disabled.
    ``cause``: what keeps it from being whole, in words.
    """

    name: ZoneName
    revision: str | None
    groups: int
    needed: int
    ready: int
    updating: bool = False
    since: int | None = None
    weight: int = 0
    share: int | None = None
    unreached: bool = False
    running: int | None = None
    most: int | None = None
    leaving: bool = False
    cause: str = ""

    @property
    def idle(self) -> bool:
        """Whether it runs nothing that a new template could break."""
        return self.groups == 0

    @property
    def whole(self) -> bool:
        """Whether every group that it needs is ready, and made from the latest template."""
        return self.idle or (self.ready >= self.needed and not self.updating)

    @property
    def serves(self) -> bool:
        """Whether others can lean on it."""
        return self.takes_traffic and not self.leaving

    @property
    def takes_traffic(self) -> bool:
        """Whether requests are sent to it, or would be."""
        return self.ready > 0 and self.weight > 0

    @property
    def returned(self) -> bool:
        """Whether it has its whole share of the traffic, or never will."""
        return self.share is None or self.idle or self.leaving or self.share >= self.weight


class RolloutPhase(StrEnum):
    """What a rollout does now."""

    DONE = "Done"
    PAUSED = "Paused"
    WAITING = "Waiting"
    MOVING = "Moving"
    REPLACING = "Replacing"
    RETURNING = "Returning"
    STOPPED = "Stopped"


@dataclass(frozen=True)
class RolloutStep:
    """What is to be done now.

    ``takes``: zones whose groups are made from the wanted template; every other one keeps its own. ``proven``: zones
    whose groups are all ready with it, so that their mark goes. ``out``: zones to keep out of traffic, one at most.
    ``zone`` is the one that ``message`` speaks of. ``due``: seconds until a deadline passes.
    """

    phase: RolloutPhase
    takes: frozenset[ZoneName]
    proven: frozenset[ZoneName] = frozenset()
    out: frozenset[ZoneName] = frozenset()
    zone: ZoneName = None
    message: str = ""
    due: int | None = None


_NOBODY: Final[frozenset[ZoneName]] = frozenset()


def rollout_order(cluster: InferenceCluster) -> RolloutOrder:
    """The spec's wishes, with the defaults that are not stored."""
    wanted = cluster.spec.rollout or Rollout()
    deadline = wanted.progress_deadline_seconds
    return RolloutOrder(
        by_zone=wanted.strategy is not RolloutStrategy.ALL_ZONES,
        paused=bool(wanted.paused),
        deadline=PROGRESS_DEADLINE_SECONDS if deadline is None else deadline,
    )


def rollout_step(zones: Sequence[ZoneRun], order: RolloutOrder, *, wanted: str, now: int) -> RolloutStep:
    """The next step towards ``wanted``, a revision's name; ``zones`` in the order of the spec.

    - One zone at a time is under way, from the move of its traffic to the return of it. A zone without a ready group is
      out already, so it goes first.
    - A zone that serves is taken out only while every other zone is whole, and only where another one serves; where
      none does, or where there is no route, its groups are replaced in place, one after the other.
    - A zone that was given the template and is not whole keeps all others from it.
    - Where no group of any zone is ready there is nothing to protect: all zones get the template.
    - A zone without groups, or without a LeaderWorkerSet, follows when the template is proven elsewhere.
    """
    rolling = [zone for zone in zones if zone.since is not None and zone.revision == wanted and not zone.whole]
    step = _step(zones, rolling, order, wanted)
    proven = frozenset(zone.name for zone in zones if zone.revision == wanted and zone.whole)
    return _judged(replace(step, proven=proven), rolling, order, now)


def _step(zones: Sequence[ZoneRun], rolling: Sequence[ZoneRun], order: RolloutOrder, wanted: str) -> RolloutStep:
    everyone = frozenset(zone.name for zone in zones)
    behind = [zone for zone in zones if zone.revision not in (None, wanted)]
    current = frozenset(zone.name for zone in zones if zone.revision == wanted)
    if not behind:
        return _under_way(zones, rolling, everyone)
    if order.paused:
        names = ", ".join(_named(zone) for zone in behind)
        step = _under_way(zones, rolling, current)
        text = f"rollout.paused is true: {names} keep the template that they have"
        return step if rolling else replace(step, phase=RolloutPhase.PAUSED, zone=behind[0].name, message=text)
    unprotected = not rolling and not any(zone.ready for zone in zones)
    if not order.by_zone or len(zones) == 1 or unprotected:
        return _replacing((rolling or behind)[0], everyone)
    pending = [zone for zone in behind if not zone.idle and not zone.leaving]
    takes = current | _followers(zones, wanted, pending)
    if rolling:
        return _under_way(zones, rolling, takes)
    return _next(zones, pending, takes) if pending else RolloutStep(RolloutPhase.DONE, takes)


def _followers(zones: Sequence[ZoneRun], wanted: str, pending: Sequence[ZoneRun]) -> frozenset[ZoneName]:
    """Zones without groups, once another one is whole with the template, or when nobody else is to get it."""
    proven = any(zone.revision == wanted and zone.ready > 0 and zone.whole for zone in zones)
    if pending and not proven:
        return _NOBODY
    return frozenset(zone.name for zone in zones if zone.revision is None or zone.idle)


def _next(zones: Sequence[ZoneRun], pending: Sequence[ZoneRun], takes: frozenset[ZoneName]) -> RolloutStep:
    """Begin with the zone that costs least: one that is out, then one that was being taken out, then a broken one."""
    zone = min(pending, key=lambda each: (each.takes_traffic, not _is_moved(each), each.whole))
    taken = takes | {zone.name}
    if not zone.takes_traffic:
        return _replacing(zone, taken)
    others = [each for each in zones if each is not zone and not each.idle]
    for other in others:
        if other.leaving or not other.whole:
            what = other.cause or f"{other.ready} of {other.needed} groups are ready"
            text = "its groups are being ended" if other.leaving else what
            return _waiting(other, takes, f"{_named(zone)} waits until {_named(other)} is whole: {text}")
        if not other.returned:
            text = f"{_named(zone)} waits until {_named(other)} has its share of the traffic again"
            return RolloutStep(RolloutPhase.RETURNING, takes, zone=other.name, message=text)
    if zone.share is None or not any(other.serves for other in others):
        return _replacing(zone, taken)
    out = frozenset({zone.name})
    if zone.unreached and not zone.running:
        return replace(_replacing(zone, taken), out=out)
    return RolloutStep(RolloutPhase.MOVING, takes, out=out, zone=zone.name, message=_moving(zone))


def _under_way(zones: Sequence[ZoneRun], rolling: Sequence[ZoneRun], takes: frozenset[ZoneName]) -> RolloutStep:
    """Until the zone that has the template is whole; the first one is spoken of."""
    if not rolling:
        return RolloutStep(RolloutPhase.DONE, takes)
    return replace(_replacing(rolling[0], takes), out=_kept_out(zones, rolling[0]))


def _kept_out(zones: Sequence[ZoneRun], zone: ZoneRun) -> frozenset[ZoneName]:
    """A zone that is not whole yet stays out for as long as nobody needs what is ready of it."""
    others = [each for each in zones if each is not zone and not each.idle]
    spared = any(other.serves for other in others) and all(other.whole and not other.leaving for other in others)
    return frozenset({zone.name}) if spared and zone.share is not None else _NOBODY


def _judged(step: RolloutStep, rolling: Sequence[ZoneRun], order: RolloutOrder, now: int) -> RolloutStep:
    """The step, stopped where a zone has taken longer than the deadline."""
    left = [((zone.since or 0) + order.deadline - now, zone) for zone in rolling]
    late = next((zone for seconds, zone in left if seconds <= 0), None)
    if late is None:
        return replace(step, due=min((seconds for seconds, _ in left), default=None))
    what = late.cause or f"{late.ready} of {late.needed} groups are ready"
    text = (
        f"{_named(late)} is not whole {order.deadline} s after it got the new template, and no other zone gets it:"
        f" {what}; put the former values back (trireme rollout undo) or correct them"
    )
    return replace(step, phase=RolloutPhase.STOPPED, zone=late.name, message=text)


def _is_moved(zone: ZoneRun) -> bool:
    return zone.share == 0 and zone.weight > 0


def _replacing(zone: ZoneRun, takes: frozenset[ZoneName]) -> RolloutStep:
    text = f"groups of {_named(zone)} are being replaced, {zone.ready} of {zone.needed} are ready"
    return RolloutStep(
        RolloutPhase.REPLACING, takes, zone=zone.name, message=f"{text}: {zone.cause}" if zone.cause else text
    )


def _waiting(zone: ZoneRun, takes: frozenset[ZoneName], text: str) -> RolloutStep:
    return RolloutStep(RolloutPhase.WAITING, takes, zone=zone.name, message=text)


def _moving(zone: ZoneRun) -> str:
    if not zone.unreached:
        return f"traffic moves away from {_named(zone)}"
    return f"{zone.running} requests in {_named(zone)} are waited for before its groups are replaced"


def _named(zone: ZoneRun) -> str:
    return "the pool" if zone.name is None else f"zone {zone.name}"
