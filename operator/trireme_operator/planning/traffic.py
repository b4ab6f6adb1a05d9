"""The weight of each zone in the route, and its way there.

By the Gateway API a backend without endpoints keeps its share of the requests, as errors, so weights are ours to move:
away from a zone that is not well at once, back to it slowly, and only while another zone can take the requests. When no
zone looks well there is nobody to move traffic to and perhaps only the observer is broken; then nothing is moved.

The live route is the memory: its weights, and the marks of the zones that are out or on their way, which are written
with the weights in one write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from trireme_operator.api import WeightReason
from trireme_operator.planning.balancing import WHOLE, Load, Part, next_step, part_of, rebalanced
from trireme_operator.planning.pace import Mark, Pace, Way
from trireme_operator.planning.plan import ClusterPlan, Regime, ZonePlan
from trireme_operator.planning.zone_facts import Hold, Proof, Voice, ZoneFacts

_HELD = {
    Hold.DRAINING: WeightReason.DRAINING,
    Hold.ROLLING_OUT: WeightReason.ROLLING_OUT,
    Hold.NODE_MAINTENANCE: WeightReason.NODE_MAINTENANCE,
}
_UNKNOWN = ZoneFacts()


@dataclass(frozen=True)
class ZoneWeight:
    """A zone's weight, relative to the others, and why it is that.

    ``percent`` of its share, for a zone on its way. ``mark`` is what the route is to remember of it, ``again`` the
    seconds until it may become another one without news. ``part`` is what it is to remember of the zone's balancing.
    """

    weight: int
    reason: WeightReason
    percent: int | None = None
    mark: Mark | None = None
    again: float | None = None
    part: Part | None = None

    def looked_at(self, again: float | None) -> ZoneWeight:
        """The same, to be looked at again after so many seconds."""
        return self if again == self.again else replace(self, again=again)


@dataclass(frozen=True)
class LiveTraffic:
    """What the live route says, all by zone: weights, marks, and parts."""

    weights: Mapping[str | None, int]
    marks: Mapping[str | None, Mark] = field(default_factory=dict)
    parts: Mapping[str | None, Part] = field(default_factory=dict)


def weights(
    plan: ClusterPlan,
    facts: Mapping[str | None, ZoneFacts],
    *,
    live: LiveTraffic | None = None,
    pace: Pace | None = None,
    now: int = 0,
) -> dict[str | None, ZoneWeight]:
    """The weight of every zone of the plan, by the zone's name.

    ``facts`` by zone; of a zone that is absent nothing is known. ``live``: the route that is there now, None without
    one. ``now`` in seconds since the epoch.

    - A zone with ready groups: spec weight x min(1, ready / base), never rounded to 0. The base is what the spec asks
      for, with autoscaling the least; more groups count no more, so scaling one zone up takes no traffic from another.
      Groups that are ready again add to it when they have been so for the dwell time.
    - A zone without a ready group, or that is silent while another one is heard: 0 at once, while another one is well.
      It is back, step by step, when it has been well for the dwell time and has completed a prompt.
    - A zone that is held: to 0 step by step, while another one is well; disabled, at once.
    - All silent: the observer is cut off, and no weight is raised.
    - No zone well: the weights of the live route; before any zone was ever ready, the spec's.
    - A zone to which the spec gives no weight or no groups, or that is disabled: 0.
    - Where the plan asks for balancing: of each of these only the zone's part, which the queues of the zones that are
      simply in traffic move. A zone that is out of traffic, or alone in it, has none to remember.
    """
    parts = live.parts if live is not None and plan.balancing is not None else {}
    found = _Decision(plan, facts, live, pace or Pace(), now, parts)
    result = found.all()
    return result if plan.balancing is None else _balanced(found, result, plan.balancing)


def _balanced(found: _Decision, result: dict[str | None, ZoneWeight], interval: int) -> dict[str | None, ZoneWeight]:
    """With the parts that the queues ask for; nobody's are trusted while the observer may be cut off."""
    kept = _kept(result, found.parts)
    loads = {} if found.blind else found.loads(result)
    parts = rebalanced(loads, kept, interval, now=found.now)
    if parts != found.parts:
        result = replace(found, parts=parts).all()
    wait = next_step(parts, interval, now=found.now)
    return {
        name: replace(zone, part=parts.get(name), again=wait if zone.again is None else min(wait, zone.again))
        for name, zone in result.items()
    }


def _kept(result: Mapping[str | None, ZoneWeight], parts: Mapping[str | None, Part]) -> dict[str | None, Part]:
    """The parts of zones in traffic; beside nobody a part means nothing."""
    in_traffic = [name for name, zone in result.items() if zone.weight > 0]
    return {name: parts[name] for name in in_traffic if name in parts and len(in_traffic) > 1}


@dataclass(frozen=True)
class _Decision:
    """The decision of one moment; each zone's depends on which others are well."""

    plan: ClusterPlan
    facts: Mapping[str | None, ZoneFacts]
    live: LiveTraffic | None
    pace: Pace
    now: int
    parts: Mapping[str | None, Part]

    def of(self, zone: ZonePlan) -> ZoneFacts:
        return self.facts.get(zone.name, _UNKNOWN)

    @cached_property
    def wanted(self) -> list[ZonePlan]:
        """Zones that traffic may be sent to at all."""
        return [zone for zone in self.plan.zones if zone.weight > 0 and zone.replicas > 0 and not self._disabled(zone)]

    @cached_property
    def well(self) -> list[ZonePlan]:
        return [zone for zone in self.wanted if self.of(zone).ready > 0 and not self._lost(zone)]

    def all(self) -> dict[str | None, ZoneWeight]:
        result = self._each()
        if not any(zone.weight for zone in result.values()) and self.well:
            # Whoever was in traffic is gone: those that are well take it all, whatever they were waiting for.
            free = [zone for zone in self.well if self.of(zone).hold is None]
            result |= {zone.name: self._share(zone, self.of(zone).ready) for zone in free or self.well}
        return result

    def loads(self, result: Mapping[str | None, ZoneWeight]) -> dict[str | None, Load]:
        """The zones that are in traffic, and neither on their way nor to leave it."""
        zones = [zone for zone in self.well if result[zone.name].weight > 0 and result[zone.name].mark is None]
        facts = {zone.name: self.of(zone) for zone in zones}
        return {name: Load(each.ready, each.queue) for name, each in facts.items() if each.hold is None}

    def _share(self, zone: ZonePlan, ready: int) -> ZoneWeight:
        part = self.parts.get(zone.name)
        percent = WHOLE if part is None else part.percent
        whole = ready >= zone.base
        weight = part_of(zone.weight if whole else max(1, zone.weight * ready // zone.base), percent)
        if percent < WHOLE:
            return ZoneWeight(weight, WeightReason.BALANCED, percent)
        return ZoneWeight(weight, WeightReason.HEALTHY if whole else WeightReason.PARTLY_READY)

    def _each(self) -> dict[str | None, ZoneWeight]:
        found = {zone.name: (zone, self._weight(zone)) for zone in self.plan.zones}
        return {name: decided.looked_at(self._again(zone, decided)) for name, (zone, decided) in found.items()}

    def _weight(self, zone: ZonePlan) -> ZoneWeight:
        if self._disabled(zone):
            return self._shut(zone)
        if zone not in self.wanted:
            return ZoneWeight(0, WeightReason.NOT_ASKED_FOR)
        return self._beside_others(zone) if self.well else self._unmoved(zone)

    def _beside_others(self, zone: ZonePlan) -> ZoneWeight:
        """Some zone is well, this one or another."""
        facts = self.of(zone)
        if self._lost(zone):
            return self._out(zone, WeightReason.SILENT)
        if facts.ready <= 0:
            kept = facts.hold is Hold.NODE_MAINTENANCE
            return self._out(zone, WeightReason.NODE_MAINTENANCE if kept else WeightReason.NO_READY_GROUP)
        if facts.hold is not None:
            return self._leaving(zone, _HELD[facts.hold])
        return self._in(zone)

    def _disabled(self, zone: ZonePlan) -> bool:
        return zone.regime is Regime.HELD or self.of(zone).hold is Hold.DISABLED

    def _lost(self, zone: ZonePlan) -> bool:
        return self.of(zone).voice is Voice.SILENT

    @cached_property
    def blind(self) -> bool:
        """It may be the observer that is cut off, so nothing that it can't hear is trusted with more."""
        return any(self.of(zone).voice is Voice.CUT_OFF for zone in self.wanted)

    def _live(self, zone: ZonePlan) -> int | None:
        return None if self.live is None else self.live.weights.get(zone.name)

    def _mark(self, zone: ZonePlan) -> Mark | None:
        return None if self.live is None else self.live.marks.get(zone.name)

    def _again(self, zone: ZonePlan, decided: ZoneWeight) -> float | None:
        facts, mark = self.of(zone), decided.mark
        moving = mark is not None and mark.way is not Way.OUT
        step = self.pace.next_step(mark, now=self.now) if mark is not None and moving else None
        grows = zone.weight > 0 and decided.weight < self._share(zone, facts.ready).weight
        waits = (facts.judged, facts.settles if grows else None, step)
        return min((wait for wait in waits if wait is not None), default=None)

    def _unmoved(self, zone: ZonePlan) -> ZoneWeight:
        """No zone is well. Before one ever was, those that are at 0 stay there while another one is not."""
        live = {each.name: self._live(each) for each in self.wanted}
        in_traffic = any(live.values())
        if in_traffic and any(self.of(each).was_ready for each in self.wanted):
            return ZoneWeight(live[zone.name] or 0, WeightReason.FAIL_STATIC, mark=self._mark(zone))
        if in_traffic and live[zone.name] == 0:
            return ZoneWeight(0, WeightReason.HELD_AT_ZERO, mark=self._mark(zone))
        return ZoneWeight(zone.weight, WeightReason.NOTHING_READY)

    def _shut(self, zone: ZonePlan) -> ZoneWeight:
        """Out at once, and remembered as out where it had traffic: it comes back as others do."""
        mark = self._mark(zone)
        if mark is None and self._live(zone):
            mark = Mark(Way.OUT, self.now, WeightReason.DISABLED)
        elif mark is not None and mark.way is not Way.OUT:
            mark = Mark(Way.OUT, self.now, mark.reason)
        drained = self.of(zone).hold is Hold.DRAINING
        return ZoneWeight(0, WeightReason.DRAINING if drained else WeightReason.DISABLED, mark=mark)

    def _out(self, zone: ZonePlan, reason: WeightReason) -> ZoneWeight:
        """A zone that was never ready is not marked: it has nothing to return from."""
        mark = self._mark(zone)
        if mark is None or mark.way is not Way.OUT:
            known = mark is not None or self.of(zone).was_ready
            mark = Mark(Way.OUT, self.now, reason) if known else None
        return ZoneWeight(0, reason, mark=mark)

    def _leaving(self, zone: ZonePlan, reason: WeightReason) -> ZoneWeight:
        """One step after the other to 0, while another zone that is not held can take it."""
        if not any(self._in(each).weight for each in self.well if self.of(each).hold is None):
            return replace(self._in(zone), reason=reason)
        mark = self._mark(zone)
        if self.live is None:
            return ZoneWeight(0, reason)  # without a route there is no memory of steps, and nothing that they move
        if self._live(zone) == 0 and (mark is None or mark.way is not Way.LEAVING):
            return ZoneWeight(0, reason, mark=mark or Mark(Way.OUT, self.now, reason))
        if mark is None or mark.way is not Way.LEAVING:
            mark = self.pace.leave(mark, now=self.now, reason=reason)
        percent = self.pace.percent(mark, now=self.now)
        if percent == 0:
            return ZoneWeight(0, reason, mark=Mark(Way.OUT, self.now, mark.reason))
        weight = max(1, self._share(zone, self.of(zone).ready).weight * percent // WHOLE)
        return ZoneWeight(weight, reason, percent, mark)

    def _in(self, zone: ZonePlan) -> ZoneWeight:
        live, mark, facts = self._live(zone), self._mark(zone), self.of(zone)
        share = self._share(zone, facts.ready)
        if self.blind and live is not None and any(self._live(each) for each in self.well):
            return ZoneWeight(min(live, share.weight), WeightReason.FAIL_STATIC, mark=mark)
        if mark is not None and mark.way is Way.OUT:
            return self._returning_from_out(zone, mark)
        if mark is not None:
            return self._returning(zone, self.pace.turn_back(mark, now=self.now))
        if not live or share.weight <= live:
            return share
        risen = max(live, self._share(zone, facts.settled).weight if facts.settled else live)
        return replace(share, weight=risen) if risen == share.weight else ZoneWeight(risen, WeightReason.PARTLY_READY)

    def _returning_from_out(self, zone: ZonePlan, mark: Mark) -> ZoneWeight:
        facts = self.of(zone)
        if facts.proof is Proof.FAILED:
            return ZoneWeight(0, WeightReason.CANARY_FAILED, mark=mark)
        if facts.settled <= 0 or facts.proof is Proof.PENDING:
            return ZoneWeight(0, WeightReason.RETURNING, 0, mark)
        return self._returning(zone, Mark(Way.BACK, self.now, mark.reason))

    def _returning(self, zone: ZonePlan, mark: Mark) -> ZoneWeight:
        share = self._share(zone, self.of(zone).ready)
        percent = self.pace.percent(mark, now=self.now)
        if percent >= WHOLE:
            return share
        return ZoneWeight(max(1, share.weight * percent // WHOLE), WeightReason.RETURNING, percent, mark)
