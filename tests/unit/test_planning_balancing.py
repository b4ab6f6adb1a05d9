"""Less for a zone whose queue is longer: by small steps, within bounds, to rest and back, and after all else."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.resources import cluster
from tests.unit.test_planning_traffic import GONE, SILENT, WELL, Route, facts, paces, planned
from trireme_operator.api import WeightReason
from trireme_operator.planning import (
    ClusterPlan,
    Hold,
    LiveTraffic,
    Part,
    Queue,
    Voice,
    ZoneFacts,
    plan,
    weights,
    whole_of,
)
from trireme_operator.planning.balancing import (
    LEAST,
    STEP_DOWN,
    STEP_UP,
    WHOLE,
    Load,
    decode,
    encode,
    next_step,
    part_of,
    rebalanced,
)

INTERVAL = 30
Lengths = tuple[float | None, float | None]


def by_queues(**of: int) -> ClusterPlan:
    """Zones of two groups and these weights, balanced every 30 s."""
    return replace(planned(**of), balancing=INTERVAL)


def well(length: float | None) -> ZoneFacts:
    return replace(WELL, queue=Queue(length))


def loads(lengths: Lengths) -> dict[str | None, Load]:
    return {name: Load(2, Queue(length)) for name, length in zip("ab", lengths, strict=True)}


# ---- one step ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "lengths", "after"),
    [
        pytest.param(100, (0, 0), 100, id="nobody waits"),
        pytest.param(100, (6, 0), 100, id="a short queue is nobody's trouble"),
        pytest.param(100, (24, 18), 100, id="load is never even"),
        pytest.param(100, (70, 50), 91, id="half of the way down"),
        pytest.param(100, (80, 40), 90, id="half of the way would be 17: ten at most"),
        pytest.param(90, (80, 40), 80, id="and on"),
        pytest.param(80, (80, 40), 80, id="near enough"),
        pytest.param(60, (80, 40), 60, id="not far enough to come back"),
        pytest.param(54, (70, 50), 59, id="far enough: five at a time"),
        pytest.param(70, (10, 10), 75, id="as long as the other one"),
        pytest.param(98, (0, 0), 100, id="the whole share at last"),
        pytest.param(57, (1000, 0), 50, id="the least, when it asks for that"),
        pytest.param(50, (1000, 0), 50, id="and never less"),
        pytest.param(70, (None, 10), 75, id="who says nothing comes back"),
        pytest.param(70, (10, None), 75, id="and so does who has nobody to be compared with"),
    ],
)
def test_a_step(before: int, lengths: Lengths, after: int) -> None:
    found = rebalanced(loads(lengths), {"a": Part(before, 0)}, INTERVAL, now=INTERVAL)
    assert found["a"].percent == after
    assert found.get("b", Part(WHOLE, 0)).percent == WHOLE


def test_a_zone_of_many_groups_counts_for_as_many() -> None:
    few = rebalanced({"a": Load(1, Queue(60)), "b": Load(1, Queue(60)), "c": Load(1, Queue(0))}, {}, INTERVAL, now=0)
    many = rebalanced({"a": Load(1, Queue(60)), "b": Load(9, Queue(60)), "c": Load(1, Queue(0))}, {}, INTERVAL, now=0)
    assert few["a"] == Part(90, 0)
    assert many["a"] == Part(100, 0), "what ten groups have is what is usual"
    assert many["b"] == Part(90, 0), "but the zone that could take some of it has none"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({"a": Load(2, Queue(100)), "b": Load(2, None)}, "how long a queue is can't be known yet"),
        ({"a": Load(2, Queue(100))}, "a zone alone has nobody to give anything to"),
        ({}, "nobody is in traffic"),
    ],
)
def test_nothing_moves(found: dict[str | None, Load], why: str) -> None:
    before: dict[str | None, Part] = {"a": Part(70, 0), "b": Part(100, 0)}
    assert rebalanced(found, before, INTERVAL, now=1000) == before, why


def test_nothing_moves_within_the_interval_and_all_remember_the_same_moment() -> None:
    before: dict[str | None, Part] = {"a": Part(70, 1000)}
    for now in (1000, 1001, 1029):
        assert rebalanced(loads((1000, 0)), before, INTERVAL, now=now) == before
    assert rebalanced(loads((1000, 0)), before, INTERVAL, now=1030) == {"a": Part(60, 1030), "b": Part(100, 1030)}
    assert [next_step(before, INTERVAL, now=now) for now in (1000, 1029, 1030, 2000)] == [30, 1, 30, 30]


def test_a_moment_in_the_future_holds_nobody_up() -> None:
    before: dict[str | None, Part] = {"a": Part(70, 2000)}
    assert rebalanced(loads((1000, 0)), before, INTERVAL, now=1000)["a"] == Part(60, 1000)
    assert next_step(before, INTERVAL, now=1000) == INTERVAL


@given(weight=st.integers(0, 1000), percent=st.integers(LEAST, WHOLE))
def test_a_part_of_a_weight_tells_whether_it_is_a_part_of_the_whole(weight: int, percent: int) -> None:
    part = part_of(weight, percent)
    assert (part > 0) == (weight > 0)
    assert part * WHOLE >= weight * percent > (part - 1) * WHOLE
    assert whole_of(part, percent) >= weight
    assert part == 0 or whole_of(part - 1, percent) < weight


def test_parts_survive_an_annotation_and_a_spoilt_one_is_none() -> None:
    parts: dict[str | None, Part] = {"b": Part(70, 17), None: Part(100, 17)}
    assert decode(encode(parts)) == parts
    assert encode({}) == ""
    spoilt: tuple[str | None, ...] = (None, "", "x", "[]", '{"b": 1}', '{"b": {"percent": 1e999, "since": 1}}')
    spoilt += tuple(f'{{"b": {{"percent": {percent}, "since": 1}}}}' for percent in ("0", "49", "101", "null", "-70"))
    assert [decode(text) for text in spoilt] == [{}] * len(spoilt)


def test_it_is_asked_for() -> None:
    def asked(**wanted: Any) -> int | None:
        gateway = {"parentRefs": [{"name": "edge"}]} | ({"balancing": wanted} if wanted else {})
        return plan(cluster(zones=[{"name": "a"}, {"name": "b"}], gateway=gateway)).balancing

    assert asked() is None
    assert asked(acrossZones="ReadyGroups") is None
    assert asked(acrossZones="QueueLength") == 30
    assert asked(acrossZones="QueueLength", intervalSeconds=5) == 5


# ---- among all that moves weights --------------------------------------------------------------------------


@pytest.fixture
def route() -> Route:
    found = Route(by_queues(a=60, b=40))
    found.see(a=well(0), b=well(0))
    return found


def test_a_loaded_zone_gives_up_share_by_share_and_takes_it_back(route: Route) -> None:
    writes = len(route.writes)
    seen = []
    for _ in range(8):
        seen.append((route.see(a=well(90), b=well(40))["a"], str(route.reason("a")), route.said["a"].percent))
        route.pass_by(INTERVAL, a=well(90), b=well(40))
    assert seen[:2] == [(54, "Balanced", 90), (48, "Balanced", 80)]
    assert seen[-2:] == [(43, "Balanced", 71)] * 2
    assert route.reason("b") is WeightReason.HEALTHY
    assert len(route.writes) - writes == 3
    assert all(later - earlier >= INTERVAL for earlier, later in pairwise(route.writes[1:]))
    route.pass_by(7 * INTERVAL, a=well(0), b=well(0))
    assert (route.live and route.live.weights, route.reason("a")) == ({"a": 60, "b": 40}, WeightReason.HEALTHY)
    writes = len(route.writes)
    route.pass_by(20 * INTERVAL, a=well(3), b=well(0))
    assert len(route.writes) == writes, "at rest nothing is written"


def test_the_next_look_is_announced(route: Route) -> None:
    route.see(a=well(90), b=well(10))
    assert [zone.again for zone in route.said.values()] == [INTERVAL, INTERVAL]
    route.now += 7
    route.see(a=well(90), b=well(10))
    assert [zone.again for zone in route.said.values()] == [23, 23]


def loaded(route: Route) -> Route:
    """Zone a has 71 % of its share."""
    route.pass_by(4 * INTERVAL, a=well(90), b=well(40))
    assert route.live is not None
    assert route.live.weights == {"a": 43, "b": 40}
    return route


def test_a_zone_that_fails_is_out_at_once_and_the_last_one_has_its_whole_share(route: Route) -> None:
    assert loaded(route).see(a=well(90), b=GONE) == {"a": 60, "b": 0}
    assert route.reason("a") is WeightReason.HEALTHY
    assert route.said["a"].part is None


@pytest.mark.parametrize("lost", [GONE, SILENT])
def test_a_zone_that_was_out_comes_back_to_its_whole_share(route: Route, lost: ZoneFacts) -> None:
    assert loaded(route).see(a=lost, b=well(10)) == {"a": 0, "b": 40}
    route.pass_by(100, a=well(0), b=well(0))
    assert (route.live and route.live.weights, route.reason("a")) == ({"a": 60, "b": 40}, WeightReason.HEALTHY)


def test_a_zone_that_comes_back_is_not_balanced_yet(route: Route) -> None:
    route.see(a=well(0), b=GONE)
    steps = []
    for _ in range(6):
        steps.append(route.see(a=well(90), b=well(0)))
        route.now += 10
    assert [step["b"] for step in steps] == [5, 11, 16, 22, 28, 34]
    assert {step["a"] for step in steps} == {60}, "its queue is long because it had all the traffic"


@pytest.mark.parametrize("hold", [Hold.DRAINING, Hold.ROLLING_OUT])
def test_a_zone_that_leaves_does_so_from_what_it_has(route: Route, hold: Hold) -> None:
    held = replace(well(90), hold=hold)
    loaded(route)
    seen = []
    for _ in range(8):
        seen.append(route.see(a=held, b=well(90))["a"])
        route.now += 10
    assert seen == sorted(seen, reverse=True)
    assert (seen[0], seen[-1]) == (36, 0)
    assert route.live is not None
    assert route.live.weights["b"] == 40


def test_nothing_is_moved_when_all_are_silent(route: Route) -> None:
    loaded(route)
    writes = len(route.writes)
    cut_off = replace(well(0), voice=Voice.CUT_OFF)
    route.pass_by(300, a=cut_off, b=cut_off)
    route.pass_by(300, a=replace(GONE, queue=Queue(0)), b=replace(GONE, queue=Queue(0)))
    assert len(route.writes) == writes


def test_a_zone_with_some_of_its_groups_has_the_part_of_what_they_get(route: Route) -> None:
    half = replace(WELL, ready=1, settled=1, queue=None)
    assert loaded(route).see(a=half, b=well(10)) == {"a": 22, "b": 40}


def test_a_resource_that_asks_no_more_has_the_specs_weights_at_once(route: Route) -> None:
    loaded(route).of = planned(a=60, b=40)
    assert route.see(a=well(90), b=well(10)) == {"a": 60, "b": 40}
    assert [zone.part for zone in route.said.values()] == [None, None]


queues = st.none() | st.builds(Queue, st.none() | st.floats(0, 1e6))
queued = st.builds(lambda fact, queue: replace(fact, queue=queue), facts, queues)
moments = st.lists(
    st.tuples(st.integers(0, 60), st.fixed_dictionaries({"a": queued, "b": queued, "c": queued})),
    min_size=1,
    max_size=20,
)


@given(moments=moments, rhythm=paces, percents=st.lists(st.integers(LEAST, WHOLE), min_size=3, max_size=3))
@settings(max_examples=80, deadline=None)
def test_without_it_weights_are_what_they_were(
    moments: list[tuple[int, Any]], rhythm: Any, percents: list[int]
) -> None:
    route = Route(planned(a=60, b=40, c=10), rhythm)
    left = {name: Part(percent, 0) for name, percent in zip("abc", percents, strict=True)}
    for wait, seen in moments:
        route.now += wait
        former = route.live
        route.see(**{name: replace(fact, queue=None) for name, fact in seen.items()})
        live = None if former is None else LiveTraffic(former.weights, former.marks, cast("Any", left))
        assert weights(route.of, seen, live=live, pace=rhythm, now=route.now) == route.said


@given(moments=moments, rhythm=paces)
@settings(max_examples=80, deadline=None)
def test_whatever_is_seen_everything_else_comes_first(moments: list[tuple[int, Any]], rhythm: Any) -> None:
    """Beside a route without it: the same zones are out and on their way, and nobody has less than half of that."""
    route = Route(by_queues(a=60, b=40, c=10), rhythm)
    plain = Route(planned(a=60, b=40, c=10), rhythm)
    for wait, seen in moments:
        route.now, plain.now = route.now + wait, plain.now + wait
        before = dict(route.live.parts) if route.live is not None else {}
        route.see(**seen)
        assert route.live is not None
        _is_a_step(before, dict(route.live.parts), now=route.now)
        writes = len(route.writes)
        for _ in range(2):
            route.see(**seen)
        assert len(route.writes) - writes <= 1, "the same facts at the same moment settle"
        for _ in range(3):
            plain.see(**seen)
        assert plain.live is not None
        assert route.live.marks == plain.live.marks
        for name, weight in plain.live.weights.items():
            assert (route.live.weights[name] == 0) == (weight == 0)
            assert route.live.weights[name] <= 60
    last = moments[-1][1]
    route.come_to_rest(2 * rhythm.way + 2 * rhythm.step + 12 * INTERVAL, **last)
    writes = len(route.writes)
    route.pass_by(2 * INTERVAL, **last)
    assert len(route.writes) == writes, "at rest nothing is written"


def _is_a_step(before: dict[str | None, Part], after: dict[str | None, Part], *, now: int) -> None:
    kept = {name: part.percent for name, part in before.items() if name in after}
    moved = {name: after[name].percent - percent for name, percent in kept.items()}
    assert all(-STEP_DOWN <= by <= STEP_UP for by in moved.values())
    assert all(LEAST <= part.percent <= WHOLE for part in after.values())
    assert len({part.since for part in after.values()}) <= 1
    if any(moved.values()):
        assert all(now - part.since >= INTERVAL for part in before.values())
        assert {part.since for part in after.values()} == {now}
