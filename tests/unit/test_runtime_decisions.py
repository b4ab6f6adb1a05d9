"""Pulses and drains: decisions of the launcher, with the time given."""

from __future__ import annotations

import pytest

from trireme_runtime import drain, limits
from trireme_runtime.drain import LeaderView, WorkerView
from trireme_runtime.pulse import Pulse

LIMITS = limits.of_grace(grace_seconds=60, settle_seconds=5)


def test_silence_counts_after_three_seconds_and_a_beat_restores() -> None:
    pulse = Pulse("worker 1")
    assert pulse.trouble(0.0) == "worker 1: not asked yet"
    pulse.beat(10.0)
    pulse.miss("timed out")
    assert pulse.trouble(12.9) == ""
    assert "silent for more than 3 s (timed out)" in pulse.trouble(13.1)
    assert pulse.steady_since == 10.0
    pulse.beat(14.0)
    assert pulse.trouble(14.1) == ""
    assert pulse.steady_since == 14.0


def test_a_proof_counts_at_once() -> None:
    pulse = Pulse("the engine")
    pulse.beat(10.0)
    pulse.refuse("refused")
    assert pulse.trouble(10.1) == "the engine: refused"
    assert pulse.refusals == 1
    pulse.beat(10.2)
    assert pulse.refusals == 0


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
