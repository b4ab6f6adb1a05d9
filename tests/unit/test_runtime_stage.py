"""Stages: which follows from what is known, and how long each took, with a clock that the test turns."""

from __future__ import annotations

import itertools

import pytest

from trireme_runtime import stage
from trireme_runtime.stage import MAX_ENTRIES, Facts, Journal, Stage

UNSTARTED = [Stage.WAITING, Stage.HELD, Stage.PREFLIGHT]


class Clock:
    """Both clocks at once; the wall's has an offset so that they cannot be mixed up."""

    def __init__(self) -> None:
        self.now = 100.0

    def wall(self) -> float:
        return self.now + 1_000_000

    def __call__(self) -> float:
        return self.now


def journal(clock: Clock) -> Journal:
    return Journal(clock=clock, wall=clock.wall)


@pytest.mark.parametrize(
    ("facts", "want"),
    [
        *((Facts(obstacle="why", before=each), (each, "why")) for each in UNSTARTED),
        (Facts(engine_running=True, obstacle="refused"), (Stage.LOADING, "refused")),
        (Facts(engine_running=True, obstacle="refused", compiling=True), (Stage.COMPILING, "refused")),
        (Facts(engine_running=True, obstacle="refused", fetching=True), (Stage.FETCHING, "refused")),
        (Facts(engine_running=True, fetching=True), (Stage.READY, "")),
        (Facts(engine_running=True, before=Stage.PREFLIGHT), (Stage.READY, "")),
        (Facts(engine_running=True, compiling=True), (Stage.READY, "")),
        (Facts(engine_running=True, obstacle="worker 1 silent", draining="requests"), (Stage.DRAINING, "requests")),
        (Facts(obstacle="no worker", draining="nothing runs"), (Stage.DRAINING, "nothing runs")),
        (Facts(engine_running=True, failure="died", draining="x"), (Stage.FAILED, "died")),
        (Facts(failure="died", before=Stage.HELD), (Stage.FAILED, "died")),
    ],
)
def test_the_stage_follows_from_the_facts(facts: Facts, want: tuple[Stage, str]) -> None:
    assert stage.judge(facts) == want


@pytest.mark.parametrize(
    ("current", "serves", "running", "want"),
    [
        pytest.param(Stage.READY, True, True, True, id="leader of a whole group"),
        pytest.param(Stage.LOADING, True, True, False, id="loading leader"),
        pytest.param(Stage.FETCHING, True, True, False, id="fetching leader"),
        pytest.param(Stage.COMPILING, True, True, False, id="compiling leader"),
        pytest.param(Stage.DRAINING, True, True, False, id="draining leader"),
        pytest.param(Stage.LOADING, False, True, True, id="worker that holds its ranks"),
        pytest.param(Stage.DRAINING, False, True, True, id="worker that outlives its leader"),
        pytest.param(Stage.FAILED, False, True, False, id="failed worker"),
        *(pytest.param(each, False, False, False, id=f"worker in {each.value}") for each in UNSTARTED),
    ],
)
def test_ready_means_that_the_pod_may_be_counted(current: Stage, serves: bool, running: bool, want: bool) -> None:
    assert stage.is_ready(current, serves=serves, engine_running=running) is want


@pytest.mark.parametrize(("old", "new"), [*itertools.permutations(Stage, 2)])
def test_every_transition_is_measured_and_a_failure_is_final(old: Stage, new: Stage) -> None:
    clock = Clock()
    stages = Journal(old, clock=clock, wall=clock.wall)
    clock.now += 7.5
    if old is Stage.FAILED:
        assert stages.enter(new) is False
        assert [entry.stage for entry in stages.entries()] == [Stage.FAILED]
        return
    assert stages.enter(new) is True
    clock.now += 0.25
    before, after = stages.entries()
    assert (before.stage, before.since, before.seconds) == (old, 1_000_100.0, 7.5)
    assert (after.stage, after.since, after.seconds) == (new, 1_000_107.5, 0.25)
    assert (stages.current, stages.since) == (new, 1_000_107.5)


def test_the_same_stage_goes_on() -> None:
    clock = Clock()
    stages = journal(clock)
    clock.now += 3
    assert stages.enter(Stage.WAITING) is False
    (entry,) = stages.entries()
    assert entry.seconds == 3


def test_bytes_are_those_of_the_stage_that_counted_them() -> None:
    stages = journal(Clock())
    stages.enter(Stage.FETCHING)
    stages.count(10, None)
    stages.count(30, 50)
    stages.enter(Stage.LOADING)
    assert [(entry.stage, entry.done, entry.total) for entry in stages.entries()] == [
        (Stage.WAITING, None, None),
        (Stage.FETCHING, 30, 50),
        (Stage.LOADING, None, None),
    ]


def test_a_pod_that_flaps_keeps_its_start_and_its_last_stages() -> None:
    clock = Clock()
    stages = journal(clock)
    for _ in range(100):
        for each in (Stage.LOADING, Stage.READY):
            clock.now += 1
            stages.enter(each)
    entries = stages.entries()
    assert len(entries) == MAX_ENTRIES
    assert entries[0].stage is Stage.WAITING
    assert [entry.since for entry in entries[:8]] == [1_000_100.0 + second for second in range(8)]
    assert entries[-1].since == 1_000_100.0 + 200
