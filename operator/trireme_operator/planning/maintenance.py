"""Groups on nodes that are about to be emptied: which of them leave rotation before their pods are evicted.

What an eviction does is bounded already: the budget of a zone lets one group go at a time, and the leader's launcher
waits for what runs. Leaving earlier gives requests all the time until the eviction, and must cost no more than that
eviction would. So it keeps to the budget's rhythm, one group of a zone at a time, and never takes what nobody else can
stand in for.

Nothing is remembered between two decisions but the label of the pods and the marks of the live route.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trireme_operator.planning.rollout import ZoneName
from trireme_operator.planning.zone_facts import Hold


@dataclass(frozen=True)
class Notice:
    """Why a node is about to be emptied: ``taint`` is a key, None where it is cordoned."""

    node: str
    taint: str | None = None

    def __str__(self) -> str:
        return f"node {self.node} " + ("is cordoned" if self.taint is None else f"has the taint {self.taint}")

    @property
    def way_back(self) -> str:
        """What ends it."""
        if self.taint is None:
            return f"kubectl uncordon {self.node}"
        return f"kubectl taint node {self.node} {self.taint}-"


@dataclass(frozen=True)
class Member:
    """One group of a zone.

    ``ready``: it could serve: ready, and not out of rotation for another reason. ``out``: it is out of rotation for
    maintenance. ``notice``: of one of its nodes. ``running``: unfinished requests, None where nobody says.
    """

    index: int
    ready: bool = True
    out: bool = False
    notice: Notice | None = None
    running: int | None = None


@dataclass(frozen=True)
class ZoneMembers:
    """A zone's groups, all that are asked for.

    ``needed``: ready groups that make it whole. ``busy``: it is being drained or gets another revision, so that its
    groups are not to be moved as well. ``share``: its weight in the live route, None without a route. ``returned``: it
    has its whole share. ``unreached``: the route sends it nothing, and every gateway knows. ``begun``: the route
    remembers that it left for maintenance.
    """

    name: ZoneName
    members: tuple[Member, ...]
    needed: int
    busy: bool = False
    share: int | None = None
    returned: bool = True
    unreached: bool = False
    begun: bool = False

    @property
    def chosen(self) -> Member | None:
        """The group to be out: one that is already, else the first one with a notice."""
        noticed = [member for member in self.members if member.notice is not None and member.ready]
        return min(noticed, key=lambda member: (not member.out, member.index), default=None)

    @property
    def serving(self) -> int:
        """Groups that requests are sent to."""
        return sum(member.ready and not member.out for member in self.members)

    @property
    def carries(self) -> bool:
        """Whether another zone can lean on it."""
        return self.serving > 0 and self.share != 0 and not self.busy and not self.begun

    @property
    def settled(self) -> bool:
        """Whether nothing is wrong with it, so that another zone may leave."""
        return self.needed == 0 or (self.serving >= self.needed and self.returned and not self.busy and not self.begun)


@dataclass(frozen=True)
class Upkeep:
    """What follows for a zone.

    ``out``: the groups that are to be out of rotation for maintenance. ``hold``: its traffic is to move away first.
    ``leaves``: a group is out, or on its way. ``waits``: requests end soon, which nobody announces.
    """

    out: frozenset[int] = frozenset()
    hold: Hold | None = None
    message: str | None = None
    leaves: bool = False
    waits: bool = False


def upkeep(zones: Sequence[ZoneMembers]) -> dict[ZoneName, Upkeep]:
    """What to do in each zone.

    - Of a zone with several groups one leaves at a time, and only when all others serve; it stays out for as long as
      the zone has all other groups that it needs, and one at least.
    - A zone's only group leaves when its traffic has moved, which begins when every other zone is whole and has its
      share of the traffic; it stays out for as long as another zone serves.
    - In a zone that is being drained or rolled out, what is out stays so, and nothing else happens.
    """
    found = {zone.name: _of_zone(zone) for zone in zones if len(zone.members) != 1 or zone.busy}
    alone = [zone for zone in zones if zone.name not in found]
    turn = next((zone for zone in alone if _is_gone(zone)), None)
    for zone in alone:
        decided = _of_only(zone, [other for other in zones if other is not zone], free=turn is None or turn is zone)
        found[zone.name] = decided
        turn = zone if decided.leaves else turn
    return {zone.name: found[zone.name] for zone in zones}


def _is_gone(zone: ZoneMembers) -> bool:
    return zone.chosen is not None and (zone.begun or zone.chosen.out)


def _of_zone(zone: ZoneMembers) -> Upkeep:
    """A zone with several groups, or none, or one that is busy."""
    chosen = zone.chosen
    if zone.busy:
        return Upkeep(frozenset(member.index for member in zone.members if member.out))
    if chosen is None or chosen.notice is None:
        return Upkeep()
    others = [member for member in zone.members if member is not chosen]
    serving = sum(member.ready for member in others)
    least = min(max(1, zone.needed - 1), len(others)) if chosen.out else len(others)
    if serving >= least:
        return _out(chosen, chosen.notice)
    return _stays(chosen, chosen.notice, f"{serving} of the {len(others)} other groups of the zone serve")


def _of_only(zone: ZoneMembers, others: Sequence[ZoneMembers], *, free: bool) -> Upkeep:
    """A zone with one group; `free` says that no other zone is out for the same reason."""
    chosen = zone.chosen
    if chosen is None or chosen.notice is None:
        return Upkeep()
    why = _against(zone, others, free=free)
    if why:
        return _stays(chosen, chosen.notice, why)
    if chosen.out or zone.share is None or zone.unreached:
        return _out(chosen, chosen.notice, hold=Hold.NODE_MAINTENANCE)
    text = f"{chosen.notice}: the traffic of group {chosen.index} moves to the other zones"
    return Upkeep(hold=Hold.NODE_MAINTENANCE, message=text, leaves=True)


def _against(zone: ZoneMembers, others: Sequence[ZoneMembers], *, free: bool) -> str | None:
    """Why a zone is not to be without its only group."""
    carriers = [other for other in others if other.carries]
    if not carriers:
        return "no other group of the resource serves"
    if not free:
        return "another zone is out for the same reason"
    hurt = None if _is_gone(zone) else next((other for other in others if not other.settled), None)
    if hurt is None:
        return None
    return f"{hurt.serving} of {hurt.needed} groups of zone {hurt.name} serve, or it has not its share of the traffic"


def _stays(chosen: Member, notice: Notice, why: str) -> Upkeep:
    text = (
        f"{notice}, and group {chosen.index} keeps its requests, because {why}; add groups, or go on: what runs is"
        " waited for when its pods are evicted"
    )
    return Upkeep(message=text)


def _out(chosen: Member, notice: Notice, hold: Hold | None = None) -> Upkeep:
    still = {
        None: "what runs is waited for when its pods are evicted",
        0: "nothing runs there any more, and the node can be drained",
    }.get(chosen.running, "requests still run there")
    text = f"group {chosen.index} is out of rotation, because {notice}: {still}; {notice.way_back} brings it back"
    return Upkeep(frozenset({chosen.index}), hold, text, leaves=True, waits=bool(chosen.running))
