"""Stages, pulses, members and drains: decisions of the launcher, with the time given."""

from __future__ import annotations

import json

import pytest

from trireme_runtime import drain, limits, members, stage
from trireme_runtime.drain import LeaderView, WorkerView
from trireme_runtime.members import Member
from trireme_runtime.pulse import Pulse
from trireme_runtime.stage import Facts, Stage

LIMITS = limits.of_grace(grace_seconds=60, settle_seconds=5)


@pytest.mark.parametrize(
    ("facts", "want"),
    [
        pytest.param(Facts(obstacle="no worker"), (Stage.WAITING, "no worker"), id="nothing started"),
        pytest.param(Facts(engine_running=True, obstacle="refused"), (Stage.LOADING, "refused"), id="loads"),
        pytest.param(Facts(engine_running=True), (Stage.READY, ""), id="serves"),
        pytest.param(
            Facts(engine_running=True, obstacle="worker 1 silent", draining="requests"),
            (Stage.DRAINING, "requests"),
            id="drains, whatever else",
        ),
        pytest.param(Facts(engine_running=True, failure="died", draining="x"), (Stage.FAILED, "died"), id="failed"),
    ],
)
def test_the_stage_follows_from_the_facts(facts: Facts, want: tuple[Stage, str]) -> None:
    assert stage.judge(facts) == want


@pytest.mark.parametrize(
    ("current", "serves", "running", "want"),
    [
        pytest.param(Stage.READY, True, True, True, id="leader of a whole group"),
        pytest.param(Stage.LOADING, True, True, False, id="loading leader"),
        pytest.param(Stage.DRAINING, True, True, False, id="draining leader"),
        pytest.param(Stage.LOADING, False, True, True, id="worker that holds its ranks"),
        pytest.param(Stage.DRAINING, False, True, True, id="worker that outlives its leader"),
        pytest.param(Stage.WAITING, False, False, False, id="worker without an engine"),
        pytest.param(Stage.FAILED, False, True, False, id="failed worker"),
    ],
)
def test_ready_means_that_the_pod_may_be_counted(
    current: Stage,
    serves: bool,
    running: bool,
    want: bool,
) -> None:
    assert stage.is_ready(current, serves=serves, engine_running=running) is want


def test_silence_counts_after_three_seconds_and_a_beat_restores() -> None:
    pulse = Pulse("worker 1")
    assert pulse.trouble(0.0) == "worker 1: not asked yet"
    pulse.beat(10.0)
    pulse.miss("timed out")
    assert pulse.trouble(12.9) == ""
    assert "silent for more than 3 s (timed out)" in pulse.trouble(13.1)
    pulse.beat(14.0)
    assert pulse.trouble(14.1) == ""


def test_a_proof_counts_at_once() -> None:
    pulse = Pulse("the engine")
    pulse.beat(10.0)
    pulse.refuse("refused")
    assert pulse.trouble(10.1) == "the engine: refused"
    assert pulse.refusals == 1
    pulse.beat(10.2)
    assert pulse.refusals == 0


def member(where: str, *, uid: str = "a", running: bool = True) -> Member:
    return Member(pod_uid=uid, stage=where, reason="", engine_running=running)


WAITING = member("Waiting", running=False)


def test_a_leader_starts_when_all_its_workers_wait() -> None:
    assert members.leader_waits_for({1: WAITING, 2: WAITING}) == ""
    assert "worker 2 is Ready" in members.leader_waits_for({1: WAITING, 2: member("Ready")})


@pytest.mark.parametrize("where", ["Waiting", "Ready", "Draining", "Failed"])
def test_a_worker_starts_only_beside_a_loading_leader(where: str) -> None:
    assert members.worker_waits_for(member("Loading")) == ""
    assert where in members.worker_waits_for(member(where))


@pytest.mark.parametrize(
    ("workers", "want"),
    [
        pytest.param({1: member("Ready"), 2: member("Loading", uid="b")}, "", id="all run"),
        pytest.param({1: member("Ready"), 2: member("Waiting", uid="b", running=False)}, "worker 2", id="one does not"),
        pytest.param(
            {1: member("Ready", uid="c"), 2: member("Ready", uid="b")}, "worker 1 was replaced", id="replaced"
        ),
    ],
)
def test_a_group_serves_while_the_workers_that_joined_run(workers: dict[int, Member], want: str) -> None:
    assert want in members.leader_obstacle(workers, {1: "a", 2: "b"})
    assert bool(members.leader_obstacle(workers, {1: "a", 2: "b"})) is bool(want)


def test_a_worker_is_ready_with_the_leader_that_it_joined() -> None:
    assert members.worker_obstacle(member("Ready"), "a") == ""
    assert "Loading" in members.worker_obstacle(member("Loading"), "a")
    assert "replaced" in members.worker_obstacle(member("Ready"), "b")


def test_names_of_workers_are_those_of_leaderworkerset() -> None:
    assert members.worker_address("m-0.m.ns", 3) == "m-0-3.m.ns"
    assert members.worker_address("m-0.m-0.ns", 1) == "m-0-1.m-0.ns", "a subdomain for each group"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"podUID": "a", "stage": "Ready", "reason": "", "engine": 1}'])
def test_what_is_no_status_is_not_a_member(body: bytes) -> None:
    with pytest.raises(ValueError, match="no status of a launcher"):
        members.parse(body)


def test_a_status_becomes_a_member() -> None:
    body = json.dumps(
        {"podUID": "a", "stage": "Ready", "reason": "", "engine": {"running": True, "healthy": True}, "later": 1}
    )
    assert members.parse(body.encode()) == member("Ready")


def leader_view(**values: object) -> LeaderView:
    base: dict[str, object] = {"elapsed": 10.0, "served": True, "broken": "", "unfinished": 0, "idle_for": 1.0}
    return LeaderView(**{**base, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("view", "stop", "quick"),
    [
        pytest.param(leader_view(), True, False, id="idle"),
        pytest.param(leader_view(elapsed=4.9), False, False, id="endpoints may still send"),
        pytest.param(leader_view(idle_for=0.2), False, False, id="one zero is no proof"),
        pytest.param(leader_view(unfinished=3), False, False, id="requests run"),
        pytest.param(leader_view(unfinished=None), False, False, id="unknown how many run"),
        pytest.param(leader_view(unfinished=3, elapsed=LIMITS.drain), True, False, id="the time is over"),
        pytest.param(leader_view(unfinished=3, broken="worker 1 is gone"), True, True, id="a broken group"),
        pytest.param(leader_view(elapsed=0.0, served=False), True, True, id="never served"),
    ],
)
def test_when_a_leader_stops_its_engine(view: LeaderView, stop: bool, quick: bool) -> None:
    decision = drain.leader(view, LIMITS)
    assert (decision.waits_for == "", decision.quick) == (stop, quick)


def worker_view(**values: object) -> WorkerView:
    base: dict[str, object] = {
        "elapsed": 10.0,
        "leader_refusals": 0,
        "leader_silent_for": 1.0,
        "leader_lost": False,
    }
    return WorkerView(**{**base, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("view", "stop"),
    [
        pytest.param(worker_view(), False, id="the leader drains"),
        pytest.param(worker_view(leader_refusals=1), False, id="one refusal may be a hiccup"),
        pytest.param(worker_view(leader_refusals=2), True, id="refused twice"),
        pytest.param(worker_view(leader_silent_for=4.9), False, id="a slow answer"),
        pytest.param(worker_view(leader_silent_for=5.1), True, id="silent"),
        pytest.param(worker_view(leader_silent_for=float("inf")), True, id="never heard of"),
        pytest.param(worker_view(leader_lost=True), True, id="another pod, or no engine"),
        pytest.param(worker_view(elapsed=LIMITS.drain), True, id="the time is over"),
    ],
)
def test_when_a_worker_gives_up_its_ranks(view: WorkerView, stop: bool) -> None:
    assert (drain.worker(view, LIMITS).waits_for == "") is stop


@pytest.mark.parametrize("grace", [1, 2, 5, 30, 120, 3600])
@pytest.mark.parametrize("settle", [0, 5, 100])
def test_the_grace_period_is_never_exceeded(grace: int, settle: int) -> None:
    times = limits.of_grace(grace_seconds=grace, settle_seconds=settle)
    assert times.drain + times.stop < grace
    assert times.settle <= times.drain
    assert times.broken_stop <= times.stop
    assert times.engine_shutdown < times.stop or times.engine_shutdown == 0
