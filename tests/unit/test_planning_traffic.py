"""The way of a zone's weight over time: out at once, back slowly, and never everybody at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.resources import cluster
from trireme_operator.api import WeightReason
from trireme_operator.planning import (
    ClusterPlan,
    Hold,
    LiveTraffic,
    Mark,
    Pace,
    Part,
    Proof,
    Voice,
    Way,
    ZoneFacts,
    ZoneWeight,
    balancing,
    pace,
    plan,
    weights,
)
from trireme_operator.planning.pace import decode, encode

Facts = dict[str | None, ZoneFacts]
WELL = ZoneFacts(ready=2, settled=2, was_ready=True, voice=Voice.HEARD)
GONE = ZoneFacts(was_ready=True, voice=Voice.HEARD)
SILENT = replace(WELL, voice=Voice.SILENT)
CUT_OFF = replace(WELL, voice=Voice.CUT_OFF)
PACE = Pace(dwell=10, way=60)


def planned(**of: int) -> ClusterPlan:
    """A plan with zones of two groups and these weights."""
    return plan(cluster(zones=[{"name": name, "weight": weight, "replicas": 2} for name, weight in of.items()]))


@cache
def read_again(marks: tuple[tuple[str | None, Mark], ...]) -> Mapping[str | None, Mark]:
    """As they come back from the annotation."""
    return MappingProxyType(decode(encode(dict(marks))))


@cache
def parts_read_again(parts: tuple[tuple[str | None, Part], ...]) -> Mapping[str | None, Part]:
    return MappingProxyType(balancing.decode(balancing.encode(dict(parts))))


@dataclass
class Route:
    """What a gateway would hold, and the moments at which it was written."""

    of: ClusterPlan
    pace: Pace = PACE
    live: LiveTraffic | None = None
    now: int = 1000
    writes: list[int] = field(default_factory=list)
    said: Mapping[str | None, ZoneWeight] = field(default_factory=dict)

    def see(self, **facts: ZoneFacts) -> dict[str | None, int]:
        known = cast("Facts", facts)
        self.said = weights(self.of, known, live=self.live, pace=self.pace, now=self.now)
        numbers = {name: zone.weight for name, zone in self.said.items()}
        marks = tuple((name, zone.mark) for name, zone in self.said.items() if zone.mark is not None)
        parts = tuple((name, zone.part) for name, zone in self.said.items() if zone.part is not None)
        after = LiveTraffic(numbers, read_again(marks), parts_read_again(parts))
        if after != self.live:
            self.writes.append(self.now)
        self.live = after
        return numbers

    def reason(self, zone: str) -> WeightReason:
        return self.said[zone].reason

    def pass_by(self, seconds: int, **facts: ZoneFacts) -> None:
        for _ in range(seconds):
            self.now += 1
            self.see(**facts)

    def come_to_rest(self, seconds: int, **facts: ZoneFacts) -> None:
        """So much time with a look when the last one announced it, or wrote something, and one at the end."""
        end = self.now + seconds
        while self.now < end:
            before = len(self.writes)
            self.see(**facts)
            waits = [zone.again for zone in self.said.values() if zone.again is not None]
            wait = 1 if len(self.writes) > before else max(1, math.ceil(min(waits, default=seconds)))
            self.now = min(end, self.now + wait)
        self.see(**facts)


@pytest.fixture
def route() -> Route:
    found = Route(planned(a=60, b=40))
    found.see(a=WELL, b=WELL)
    return found


def test_a_zone_that_lost_its_groups_is_out_at_once_and_back_in_steps(route: Route) -> None:
    assert route.see(a=WELL, b=GONE) == {"a": 60, "b": 0}
    assert route.reason("b") is WeightReason.NO_READY_GROUP
    seen = []
    for _ in range(8):
        seen.append((route.see(a=WELL, b=WELL)["b"], str(route.reason("b")), route.said["b"].percent))
        route.now += 10
    assert seen == [
        (5, "Returning", 14),
        (11, "Returning", 28),
        (16, "Returning", 42),
        (22, "Returning", 57),
        (28, "Returning", 71),
        (34, "Returning", 85),
        (40, "Healthy", None),
        (40, "Healthy", None),
    ]


def test_the_next_step_of_a_return_is_announced(route: Route) -> None:
    route.see(a=WELL, b=GONE)
    route.see(a=WELL, b=WELL)
    assert route.said["b"].again == 10
    route.now += 7
    route.see(a=WELL, b=WELL)
    assert route.said["b"].again == 3


def test_a_zone_comes_back_only_when_it_was_well_for_the_dwell_time(route: Route) -> None:
    route.see(a=WELL, b=GONE)
    young = ZoneFacts(ready=2, settled=0, settles=4, was_ready=True, voice=Voice.HEARD)
    assert route.see(a=WELL, b=young)["b"] == 0
    assert (route.reason("b"), route.said["b"].percent, route.said["b"].again) == (WeightReason.RETURNING, 0, 4)


@pytest.mark.parametrize(
    ("proof", "weight", "reason"),
    [
        (Proof.PENDING, 0, WeightReason.RETURNING),
        (Proof.FAILED, 0, WeightReason.CANARY_FAILED),
        (Proof.PASSED, 5, WeightReason.RETURNING),
        (Proof.UNAVAILABLE, 5, WeightReason.RETURNING),
    ],
)
def test_a_zone_comes_back_only_after_a_completion(
    route: Route, proof: Proof, weight: int, reason: WeightReason
) -> None:
    route.see(a=WELL, b=GONE)
    assert route.see(a=WELL, b=replace(WELL, proof=proof))["b"] == weight
    assert route.reason("b") is reason


def test_a_zone_that_starts_for_the_first_time_waits_for_nothing() -> None:
    route = Route(planned(a=60, b=40))
    assert route.see(a=ZoneFacts(), b=ZoneFacts()) == {"a": 60, "b": 40}
    assert route.see(a=WELL, b=ZoneFacts()) == {"a": 60, "b": 0}
    assert route.see(a=WELL, b=replace(WELL, settled=0, proof=Proof.PENDING)) == {"a": 60, "b": 40}


def test_a_silent_zone_is_out_while_another_one_is_heard(route: Route) -> None:
    assert route.see(a=WELL, b=SILENT) == {"a": 60, "b": 0}
    assert route.reason("b") is WeightReason.SILENT


def test_nothing_is_moved_when_all_are_silent(route: Route) -> None:
    assert route.see(a=CUT_OFF, b=CUT_OFF) == {"a": 60, "b": 40}
    assert {route.reason("a"), route.reason("b")} == {WeightReason.FAIL_STATIC}


def test_an_observer_that_is_cut_off_still_believes_readiness_and_brings_nobody_back(route: Route) -> None:
    assert route.see(a=CUT_OFF, b=replace(GONE, voice=Voice.CUT_OFF)) == {"a": 60, "b": 0}
    assert route.see(a=CUT_OFF, b=CUT_OFF) == {"a": 60, "b": 0}
    assert route.reason("b") is WeightReason.FAIL_STATIC


def test_weights_stay_as_they_are_when_every_zone_looks_bad(route: Route) -> None:
    half = ZoneFacts(ready=1, settled=1, was_ready=True)
    route.see(a=half, b=WELL)
    assert route.see(a=GONE, b=GONE) == {"a": 30, "b": 40}
    assert {route.reason("a"), route.reason("b")} == {WeightReason.FAIL_STATIC}
    before = len(route.writes)
    route.pass_by(30, a=GONE, b=GONE)
    assert len(route.writes) == before


def test_the_last_zone_that_is_well_takes_all_whatever_it_waits_for(route: Route) -> None:
    route.see(a=WELL, b=GONE)
    assert route.see(a=GONE, b=replace(WELL, settled=0, proof=Proof.FAILED)) == {"a": 0, "b": 40}


def test_a_zone_that_flaps_is_out_and_written_once(route: Route) -> None:
    before = len(route.writes)
    for _ in range(12):
        route.pass_by(5, a=WELL, b=SILENT)
        route.pass_by(5, a=WELL, b=replace(WELL, settled=0))
    assert len(route.writes) == before + 1
    assert route.live is not None
    assert route.live.weights == {"a": 60, "b": 0}


def test_a_group_that_flaps_adds_to_its_zone_only_when_it_settled(route: Route) -> None:
    one = ZoneFacts(ready=1, settled=1, was_ready=True)
    assert route.see(a=WELL, b=one)["b"] == 20
    assert route.see(a=WELL, b=ZoneFacts(ready=2, settled=1, was_ready=True))["b"] == 20
    assert route.reason("b") is WeightReason.PARTLY_READY
    assert route.see(a=WELL, b=WELL)["b"] == 40


@pytest.mark.parametrize(
    ("hold", "reason"),
    [(Hold.DRAINING, WeightReason.DRAINING), (Hold.ROLLING_OUT, WeightReason.ROLLING_OUT)],
)
def test_a_held_zone_gives_up_its_share_in_steps_and_stays_out(route: Route, hold: Hold, reason: WeightReason) -> None:
    held = replace(WELL, hold=hold)
    seen = []
    for _ in range(8):
        seen.append(route.see(a=WELL, b=held)["b"])
        assert route.reason("b") is reason
        route.now += 10
    assert seen == [34, 28, 23, 17, 11, 6, 0, 0]
    assert route.live is not None
    assert route.live.marks["b"].way is Way.OUT


def test_a_zone_turns_back_from_where_it_is(route: Route) -> None:
    held = replace(WELL, hold=Hold.DRAINING)
    route.pass_by(35, a=WELL, b=held)
    there = route.see(a=WELL, b=held)["b"]
    back = route.see(a=WELL, b=WELL)["b"]
    assert abs(back - there) <= 6
    route.pass_by(12, a=WELL, b=WELL)
    there = route.see(a=WELL, b=WELL)["b"]
    assert back < there < 40
    assert abs(route.see(a=WELL, b=held)["b"] - there) <= 6
    route.pass_by(61, a=WELL, b=held)
    assert route.see(a=WELL, b=held)["b"] == 0


def test_a_zone_without_survivors_keeps_its_share_though_it_is_held(route: Route) -> None:
    held = replace(WELL, hold=Hold.DRAINING)
    assert route.see(a=GONE, b=held) == {"a": 0, "b": 40}
    assert route.reason("b") is WeightReason.DRAINING
    both = route.see(a=held, b=held)
    assert both["b"] == 40


def test_a_held_zone_waits_for_a_survivor_that_has_traffic(route: Route) -> None:
    route.see(a=GONE, b=WELL)
    pending = replace(WELL, proof=Proof.PENDING)
    held = replace(WELL, hold=Hold.DRAINING)
    assert route.see(a=pending, b=held) == {"a": 0, "b": 40}
    assert route.see(a=WELL, b=held)["b"] < 40


def test_a_disabled_zone_is_out_at_once_even_without_survivors(route: Route) -> None:
    assert route.see(a=WELL, b=replace(WELL, hold=Hold.DISABLED)) == {"a": 60, "b": 0}
    assert route.see(a=GONE, b=replace(WELL, hold=Hold.DISABLED)) == {"a": 60, "b": 0}


def test_a_return_of_no_seconds_is_one_step(route: Route) -> None:
    route.pace = Pace(dwell=0, way=0)
    route.see(a=WELL, b=GONE)
    assert route.see(a=WELL, b=WELL) == {"a": 60, "b": 40}
    assert route.see(a=WELL, b=replace(WELL, hold=Hold.DRAINING)) == {"a": 60, "b": 0}


def test_the_pace_is_the_resources() -> None:
    assert pace(cluster()) == Pace(dwell=10, way=60)
    assert pace(cluster(failover={"dwellSeconds": 0, "returnSeconds": 5})) == Pace(dwell=0, way=5)


def test_marks_survive_an_annotation_and_a_spoilt_one_is_none() -> None:
    marks: dict[str | None, Mark] = {
        "b": Mark(Way.BACK, 17, WeightReason.SILENT),
        None: Mark(Way.OUT, 1, WeightReason.DRAINING),
    }
    assert decode(encode(marks)) == marks
    assert encode({}) == ""
    spoilt = (None, "", "x", "[]", '{"b": 1}', '{"b": {"way": "Up", "since": 1, "reason": "Silent"}}')
    assert [decode(text) for text in spoilt] == [{}] * len(spoilt)


ready = st.integers(0, 3)
facts = st.builds(
    lambda number, settled, voice, proof, hold, was: ZoneFacts(
        ready=number,
        settled=min(number, settled),
        was_ready=was or number > 0,
        voice=voice,
        proof=proof,
        hold=hold,
    ),
    ready,
    ready,
    st.sampled_from(list(Voice)),
    st.sampled_from(list(Proof)),
    st.sampled_from([None, None, Hold.DRAINING, Hold.ROLLING_OUT]),
    st.booleans(),
)
moments = st.lists(
    st.tuples(st.integers(0, 40), st.fixed_dictionaries({"a": facts, "b": facts, "c": facts})), min_size=1, max_size=20
)
paces = st.builds(Pace, dwell=st.integers(0, 20), way=st.integers(0, 90))


@given(moments=moments, rhythm=paces)
@settings(max_examples=100, deadline=None)
def test_whatever_is_seen_somebody_has_traffic_and_rest_writes_nothing(
    moments: list[tuple[int, Any]], rhythm: Pace
) -> None:
    route = Route(planned(a=60, b=40, c=1), rhythm)
    for wait, seen in moments:
        route.now += wait
        route.see(**seen)
        assert sum(zone.weight for zone in route.said.values()) > 0
        assert all(0 <= route.said[zone.name].weight <= zone.weight for zone in route.of.zones)
        before = len(route.writes)
        route.see(**seen)
        route.see(**seen)
        assert len(route.writes) - before <= 1, "the same facts at the same moment settle"
    last = moments[-1][1]
    route.come_to_rest(2 * rhythm.way + 2 * rhythm.step, **last)
    before = len(route.writes)
    route.pass_by(60, **last)
    assert len(route.writes) == before, "at rest nothing is written"


@given(moments=moments, rhythm=paces)
@settings(max_examples=200, deadline=None)
def test_a_zone_that_is_silent_or_empty_has_nothing_while_another_is_well(
    moments: list[tuple[int, Any]], rhythm: Pace
) -> None:
    route = Route(planned(a=60, b=40, c=1), rhythm)
    for wait, seen in moments:
        route.now += wait
        route.see(**seen)
        lost = {name for name, fact in seen.items() if fact.voice is Voice.SILENT}
        well = {name for name, fact in seen.items() if fact.ready and name not in lost}
        if well:
            assert all(route.said[name].weight == 0 for name in seen if name not in well)


@given(flips=st.lists(st.integers(1, 9), min_size=4, max_size=40), quiet=st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_a_zone_that_is_never_well_for_the_dwell_time_never_comes_back(flips: list[int], quiet: int) -> None:
    route = Route(planned(a=60, b=40))
    route.see(a=WELL, b=WELL)
    route.pass_by(quiet, a=WELL, b=GONE)
    for seconds in flips:
        route.pass_by(seconds, a=WELL, b=replace(WELL, settled=0))
        route.pass_by(quiet, a=WELL, b=GONE)
    assert len(route.writes) == 2, "once made, once emptied"
