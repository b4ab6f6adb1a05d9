"""May a zone be drained, and how far has it come?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.resources import cluster, raw, zones
from trireme_operator.api import parse
from trireme_operator.planning import (
    Drain,
    DrainPhase,
    DrainWish,
    Hold,
    Regime,
    ZoneRun,
    drain,
    drain_wishes,
    group_seats,
    plan,
    unknown_drains,
    with_drains,
)

SCALING: dict[str, Any] = {
    "autoscaling": {"minReplicas": 1, "maxReplicas": 3, "metrics": {"cpu": 70}},
    "resources": {"requests": {"cpu": "1"}},
}

Drains = dict[str | None, Drain]


def run(name: str | None = "a", **fields: Any) -> ZoneRun:
    whole = ZoneRun(name, "llm-1", groups=2, needed=2, ready=2, weight=50, share=50)
    return replace(whole, **fields)


GONE: dict[str, Any] = {"share": 0, "unreached": True}


@pytest.mark.parametrize(
    ("zone", "others", "wish", "phase", "hold"),
    [
        pytest.param(run(), [run("b")], "Draining", "Moving", "Draining", id="the weight goes first"),
        pytest.param(run(share=0), [run("b")], "Draining", "Moving", "Draining", id="and every gateway has to know"),
        pytest.param(
            run(**GONE, running=1), [run("b")], "Draining", "Waiting", "Draining", id="what runs is waited for"
        ),
        pytest.param(run(**GONE, running=0), [run("b")], "Draining", "Ending", "Draining", id="nothing runs"),
        pytest.param(run(**GONE), [run("b")], "Draining", "Ending", "Draining", id="nobody counts"),
        pytest.param(run(groups=0, ready=0, share=0), [], "Draining", "Drained", "Draining", id="it has no groups"),
        pytest.param(run(), [], "Draining", "Refused", None, id="nobody is left"),
        pytest.param(run(), [run("b", ready=0)], "Draining", "Refused", None, id="nobody is ready"),
        pytest.param(run(), [run("b", weight=0)], "Draining", "Refused", None, id="nobody else takes traffic"),
        pytest.param(run(), [run("b", share=0)], "Draining", "Refused", None, id="the other one is out"),
        pytest.param(run(), [run("b", leaving=True)], "Draining", "Refused", None, id="the other one leaves too"),
        pytest.param(run(**GONE), [run("b", ready=0)], "Draining", "Refused", None, id="the survivor died: it is back"),
        pytest.param(run(), [], "Forced", "Moving", "Disabled", id="forced with nobody left: at once"),
        pytest.param(run(), [run("b")], "Forced", "Moving", "Draining", id="forced with others: gently"),
        pytest.param(
            run(share=None, running=3), [run("b", share=None)], "Draining", "Ending", "Draining", id="no route"
        ),
        pytest.param(run(), [], "Disabled", "Ending", "Disabled", id="disabled: whatever happens"),
    ],
)
def test_the_next_step_of_a_drain(
    zone: ZoneRun, others: list[ZoneRun], wish: str, phase: str, hold: str | None
) -> None:
    found = drain(zone, others, DrainWish(wish), seats=None)
    assert (found.phase, found.hold) == (DrainPhase(phase), None if hold is None else Hold(hold))
    assert found.ends is (phase in {"Ending", "Drained"})


def test_a_drain_that_the_others_could_not_bear_shows_the_sum() -> None:
    found = drain(run(running=20), [run("b", running=10), run("c", ready=1, running=4)], DrainWish.DRAINING, seats=8)
    assert found.phase is DrainPhase.REFUSED
    assert found.message == (
        "not drained: 34 requests run and wait in zones a, b, c, and without a there is room for 24: 3 groups in b, c"
        " x 8 at a time; add groups there, wait for less load, or force it (trireme drain --force)"
    )


@pytest.mark.parametrize(
    ("zone", "other", "seats"),
    [
        pytest.param(run(running=6), run("b", running=10), 8, id="it just fits"),
        pytest.param(run(running=60), run("b", running=10), None, id="nobody says how many a group runs"),
        pytest.param(run(running=None), run("b", running=100), 8, id="a launcher does not count"),
        pytest.param(run(running=60, share=40), run("b", running=10), 8, id="it has begun"),
        pytest.param(run(running=22), run("b", running=10, most=4), 8, id="the autoscaler may add groups"),
    ],
)
def test_a_drain_that_the_others_can_bear_or_that_cannot_be_judged_begins(
    zone: ZoneRun, other: ZoneRun, seats: int | None
) -> None:
    assert drain(zone, [other], DrainWish.DRAINING, seats=seats).phase is DrainPhase.MOVING


RUNS = st.builds(
    ZoneRun,
    name=st.sampled_from(["b", "c"]),
    revision=st.just("llm-1"),
    groups=st.integers(0, 3),
    needed=st.just(2),
    ready=st.integers(0, 3),
    weight=st.sampled_from([0, 50]),
    share=st.sampled_from([None, 0, 20, 50]),
    unreached=st.booleans(),
    running=st.sampled_from([None, 0, 3, 50]),
    leaving=st.booleans(),
)


@given(RUNS, st.lists(RUNS, max_size=3), st.sampled_from([DrainWish.DRAINING, DrainWish.FORCED]), st.booleans())
def test_no_group_ends_before_its_traffic_has_gone_to_somebody(
    zone: ZoneRun, others: list[ZoneRun], wish: DrainWish, judged: bool
) -> None:
    found = drain(zone, others, wish, seats=8 if judged else None)
    if found.ends and not zone.idle:
        assert zone.share is None or (zone.unreached and not zone.running)
        assert wish is DrainWish.FORCED or any(other.serves and other.share != 0 for other in others)
    if found.phase is DrainPhase.REFUSED:
        assert found.hold is None
        assert wish is DrainWish.DRAINING


def test_the_stricter_wish_counts_and_a_drain_of_no_zone_is_named() -> None:
    found = raw(zones=[{"name": name, "state": state} for name, state in (("a", "Active"), ("b", "Draining"))])
    found["spec"]["zones"] += [{"name": "c", "state": "Disabled"}, {"name": "d"}, {"name": "e"}]
    wishes = {"a": "Draining", "b": "Forced", "c": "Forced", "d": "", "zone-x": "Draining"}
    found["metadata"]["annotations"] = {f"drain.trireme.dev/{name}": value for name, value in wishes.items()}
    cluster = parse(found)
    want = {"a": DrainWish.DRAINING, "b": DrainWish.FORCED, "c": DrainWish.DISABLED}
    assert drain_wishes(cluster) == want
    assert unknown_drains(cluster) == ["drain.trireme.dev/zone-x"]


def test_a_group_runs_what_each_of_its_replicas_does() -> None:
    assert group_seats(cluster()) is None
    assert group_seats(cluster(engine={"config": {"maxNumSeqs": 32}})) == 32
    assert group_seats(cluster(engine={"profile": "production"}, parallelism={"data": 2})) == 512


def test_the_plan_ends_the_zones_groups_and_gives_the_survivors_more() -> None:
    wanted = plan(cluster(zones=zones("a", "b", "c"), **SCALING))
    runs = [run("a", groups=3, **GONE), run("b"), run("c")]
    moving: Drains = {"a": drain(run("a", groups=3), runs[1:], DrainWish.DRAINING, seats=None)}
    before = with_drains(wanted, moving, runs)
    assert [(zone.regime, zone.least) for zone in before.zones] == [
        (Regime.AUTOSCALED, 1),
        (Regime.AUTOSCALED, 3),
        (Regime.AUTOSCALED, 3),
    ]
    ending: Drains = {"a": drain(runs[0], runs[1:], DrainWish.DRAINING, seats=None)}
    after = with_drains(wanted, ending, runs)
    assert (after.zones[0].regime, after.zones[0].replicas, after.zones[0].base) == (Regime.HELD, 0, 0)
    refused: Drains = {"a": drain(run("a"), [], DrainWish.DRAINING, seats=None)}
    assert with_drains(wanted, refused, runs) == wanted
