"""What a drill's record tells of zones: when one lost its traffic, when it was back, how many were out at a time."""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest.mock import Mock

import pytest

from e2e.drills import outcomes, timeline
from e2e.drills.balancing import balancing_drills
from e2e.drills.drill import Scene
from e2e.drills.judge import Budget, Measured, Must, judge
from e2e.drills.record import Record, Seen
from e2e.drills.size import FULL, MODEL, SHORT, Size
from e2e.drills.target import PAIR, Engine, Target, manifest
from e2e.drills.timeline import Pods
from e2e.drills.zones import zone_drills

GOOD = Measured(
    requests=100,
    out_of_rotation_seconds=0.6,
    recovered_seconds=7.0,
    longest_silence_seconds=0.3,
    weight_moved_seconds=1.0,
    whole_again=True,
)


def route(*, a: int, b: int) -> dict[str, Any]:
    refs = [{"name": "m-zone-a-http", "weight": a}, {"name": "m-zone-b-http", "weight": b}]
    return {"metadata": {"name": "m"}, "spec": {"rules": [{"backendRefs": refs}]}}


def leader(uid: str) -> dict[str, Any]:
    labels = {"trireme.dev/zone": "zone-a", "leaderworkerset.sigs.k8s.io/group-index": "0"}
    ready = [{"type": "Ready", "status": "True"}]
    return {"metadata": {"name": "m-0", "uid": uid, "labels": labels}, "status": {"conditions": ready}}


PODS = [Seen(0, "ADDED", leader("old")), Seen(3, "DELETED", leader("old")), Seen(5, "ADDED", leader("new"))]
WAY = [
    Seen(0, "ADDED", route(a=50, b=50)),
    Seen(3, "MODIFIED", route(a=25, b=50)),
    Seen(4, "MODIFIED", route(a=0, b=50)),
    Seen(6, "MODIFIED", route(a=16, b=50)),
    Seen(7, "MODIFIED", route(a=50, b=50)),
    Seen(8, "MODIFIED", route(a=50, b=50)),
]


def test_a_zone_is_back_when_it_has_traffic_again_and_settled_when_every_share_is_as_before() -> None:
    assert timeline.weight_back(WAY, "zone-a", since=2) == 6
    assert timeline.settled(WAY, "zone-a", since=2) == 7, "what the gateway writes later changes no share"
    assert timeline.weight_back(WAY[:3], "zone-a", since=2) is None
    assert timeline.settled(WAY[:4], "zone-a", since=2) is None
    assert timeline.weight_back(WAY, "zone-b", since=2) is None, "it never was out"
    assert timeline.settled(WAY, "zone-b", since=2) is None
    gone = Seen(9, "DELETED", route(a=50, b=50))
    assert timeline.settled([*WAY, gone], "zone-a", since=2) is None


def test_zones_without_traffic_and_their_returns_are_counted() -> None:
    assert (timeline.returns(WAY, since=2), timeline.zones_out(WAY, since=2)) == (1, 1)
    again = [*WAY, Seen(9, "MODIFIED", route(a=0, b=0)), Seen(10, "MODIFIED", route(a=1, b=1))]
    assert (timeline.returns(again, since=2), timeline.zones_out(again, since=2)) == (3, 2)
    assert timeline.returns(WAY, since=5) == 1, "what it was at the event counts as the start"
    assert (timeline.returns(WAY, since=7), timeline.zones_out(WAY, since=7)) == (0, 0)


def test_some_outcomes_take_both_pods_and_route() -> None:
    target = Target(Engine.DOUBLE, PAIR, Mock(), Mock(), "", 0)
    pods = tuple(event.obj for event in PODS[:1])
    scene = Scene(target, pods, Pods.of(pods), Pods())
    assert outcomes.recreated_and_settled(Record(PODS, WAY), scene, 2) == 7
    assert outcomes.all_recreated_and_settled(Record(PODS, WAY[:3]), scene, 2) is None
    assert outcomes.recreated_and_settled(Record(PODS[:2], WAY), scene, 2) is None
    assert outcomes.settled(Record([], WAY), scene, 2) == 7


@pytest.mark.parametrize(
    ("limits", "change", "word"),
    [
        ({"weight_moved_seconds": 5.0}, {"weight_moved_seconds": 5.2}, "no traffic for the zone after 5.2 s"),
        ({"zones_out": 1}, {"zones_out": 2}, "2 zones had no traffic at one time, at most 1 may"),
        ({"returns": 1}, {"returns": 3}, "came back into traffic 3 times, at most 1 may"),
    ],
)
def test_a_drill_that_misses_a_limit_of_zones_says_which(
    limits: dict[str, Any], change: dict[str, Any], word: str
) -> None:
    assert judge(GOOD, Budget(**limits), Must()) == ()
    (why,) = judge(dataclasses.replace(GOOD, **change), Budget(**limits), Must())
    assert word in why


def test_a_zone_that_is_back_too_early_has_not_been_well_for_long_enough() -> None:
    early = dataclasses.replace(GOOD, weight_back_seconds=9.0)
    (why,) = judge(early, Budget(), Must(stays_out_seconds=10.0))
    assert "traffic again after 9.0 s, it may not before 10 s" in why
    assert judge(early, Budget(), Must(stays_out_seconds=9.0)) == ()


@pytest.mark.parametrize("size", [FULL, MODEL, SHORT], ids=["full", "model", "short"])
def test_no_drill_on_a_zone_takes_out_two_or_lets_one_flap(size: Size) -> None:
    short = size.short
    found = {drill.name: drill for drill in zone_drills(size) if drill.name.startswith("zone-")}
    assert {frozenset({size.engine})} == {drill.engines for drill in found.values()}
    unready = found.pop("zone-all-unready", None)
    assert (unready is None) is short
    assert unready is None or (unready.limits["zones_out"], unready.limits["failed"]) == (2, 0), "one keeps its weight"
    assert {drill.limits["zones_out"] for drill in found.values()} == {1}
    assert {drill.shape for drill in found.values()} == {size.shape}
    gateway = found.pop("zone-drain-gateway-stopped", None)
    assert (gateway is None) is short
    assert gateway is None or gateway.limits["failed"] == 0
    on_purpose = {name for name, drill in found.items() if drill.limits.get("failed") == 0}
    drained, replaced = ("zone-drain", "zone-rollout")
    killed = {f"{drained}-operator-killed", f"{replaced}-operator-killed"}
    assert on_purpose == {drained, replaced, *killed, f"{replaced}-stopped"}
    lost = {name: drill.limits["weight_moved_seconds"] for name, drill in found.items() if name not in on_purpose}
    assert {name for name, seconds in lost.items() if seconds == 15} == {
        "zone-cut-active-operator",
        "zone-cut-operators-killed",
    }
    assert all(seconds in {5, 15} for seconds in lost.values())
    assert all(found[name].stays_out_seconds > 0 and found[name].limits["returns"] == 1 for name in lost)
    assert ("zone-flapping" in found) is not short
    assert ("zone-stopped" in found) is not short


@pytest.mark.parametrize(
    ("last", "back"),
    [
        pytest.param((6, "ADDED", 40, 60), None, id="with other shares"),
        pytest.param((6, "ADDED", 60, 40), 6, id="as it was"),
        pytest.param((6, "DELETED", 60, 40), None, id="gone again"),
    ],
)
def test_a_route_that_was_removed_is_back_with_its_shares(last: tuple[int, str, int, int], back: int | None) -> None:
    at, kind, a, b = last
    seen = [Seen(0, "ADDED", route(a=60, b=40)), Seen(2, "DELETED", route(a=60, b=40)), Seen(at, kind, route(a=a, b=b))]
    assert timeline.remade(seen, 1) == back
    assert timeline.remade(seen[:1], 1) is None, "it never went"


def test_a_zone_is_drained_ten_times_under_twenty_thousand_requests() -> None:
    drill = next(drill for drill in zone_drills(FULL) if drill.name == "zone-drain")
    assert (drill.limits["returns"], drill.requests) == (10, 20_000)


@pytest.mark.parametrize(
    ("last", "back"),
    [
        pytest.param((50, 50), 6, id="as at first"),
        pytest.param((45, 50), None, id="still with less"),
    ],
)
def test_a_zone_that_had_less_is_balanced_again_with_its_whole_share(last: tuple[int, int], back: int | None) -> None:
    seen = [Seen(0, "ADDED", route(a=50, b=50)), Seen(3, "MODIFIED", route(a=40, b=50))]
    again = Seen(6, "MODIFIED", route(a=last[0], b=last[1]))
    assert timeline.rebalanced([*seen, again], "zone-a", since=2) == back
    assert timeline.rebalanced(seen, "zone-a", since=2) is None
    assert timeline.rebalanced([seen[0]], "zone-a", since=2) is None, "it never had less"
    assert timeline.rebalanced([*seen, again], "zone-b", since=2) is None, "it never had less"


def test_traffic_is_only_balanced_without_a_zone_out() -> None:
    (drill,) = balancing_drills(FULL)
    assert (drill.limits["failed"], drill.limits["zones_out"], drill.limits["returns"]) == (0, 0, 0)
    assert balancing_drills(MODEL) == balancing_drills(SHORT) == ()


def member(zone: str, group: int) -> dict[str, Any]:
    labels = {"trireme.dev/zone": zone, "leaderworkerset.sigs.k8s.io/group-index": str(group)}
    return {"metadata": {"name": f"m-{zone}-{group}", "uid": f"{zone}-{group}", "labels": labels}}


@pytest.mark.parametrize(
    ("later", "want"),
    [
        pytest.param([], None, id="nobody was"),
        pytest.param([("zone-a", 1), ("zone-b", 1)], None, id="one of the two zones that are left was not"),
        pytest.param([("zone-b", 1), ("zone-c", 1)], 4, id="both were, when the second one was"),
    ],
)
def test_zones_are_relieved_when_each_has_a_group_more(later: list[tuple[str, int]], want: float | None) -> None:
    first = [Seen(0, "ADDED", member(zone, 0)) for zone in ("zone-a", "zone-b", "zone-c")]
    seen = [*first, *(Seen(3 + at, "ADDED", member(*group)) for at, group in enumerate(later))]
    assert timeline.enlarged(seen, {"zone-b": 1, "zone-c": 1}, since=2) == want


def test_a_guarded_zone_costs_only_what_runs_in_it() -> None:
    drill = next(drill for drill in zone_drills(FULL) if drill.name == "zone-cut-guarded")
    assert drill.limits["last_failed_seconds"] == 0.5
    spec = manifest(drill.layout, Engine.DOUBLE)["spec"]
    assert spec["gateway"]["policy"] == "AggressiveRetry"
    assert spec["failover"] == {**FULL.zones.spec["failover"], "survivorFloor": 1}
