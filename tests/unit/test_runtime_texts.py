"""What the launcher writes: metrics, the first cause, log lines."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.unit.pod_environment import POD
from trireme_runtime import health_metrics, log, metrics, termination
from trireme_runtime.canary import Result
from trireme_runtime.members import Member
from trireme_runtime.membership import Place, Thresholds
from trireme_runtime.roster import Roster
from trireme_runtime.stage import Entry, Stage
from trireme_runtime.status import Status
from trireme_runtime.termination import Cause

ENGINE = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m} odd"} 1.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 2.0
"""


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(ENGINE, 6, id="summed over engines, reasons not counted twice"),
        pytest.param("vllm:num_requests_running 2.0 1700000000\n", 2, id="without labels, with a time stamp"),
        pytest.param("vllm:num_requests_running{} NaN\n", None, id="not a number"),
        pytest.param("vllm:num_requests_running{engine\n", None, id="cut in the middle"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_the_queue_is_what_runs_and_waits(text: str, want: int | None) -> None:
    assert metrics.queue_length(text) == want


def test_metrics_are_prometheus_text() -> None:
    info = {"pod": 'a"b\\c\n'}
    lines = metrics.text(info=info, stage=Stage.READY, engine_healthy=True, queue=4).splitlines()
    assert 'trireme_launcher_info{pod="a\\"b\\\\c\\n"} 1' in lines
    assert [line for line in lines if line.startswith("trireme_launcher_stage{") and line.endswith(" 1")] == [
        'trireme_launcher_stage{stage="Ready"} 1'
    ]
    assert lines[-1] == "inference_queue_length 4"
    assert "inference_queue_length" not in metrics.text(info=info, stage=Stage.READY, engine_healthy=True, queue=None)


@pytest.mark.parametrize(
    ("code", "reason", "exit_code", "signal"),
    [
        pytest.param(0, "EngineExited", 0, None, id="zero is a failure too"),
        pytest.param(3, "EngineExited", 3, None, id="a code"),
        pytest.param(-9, "EngineKilled", None, "SIGKILL", id="a signal"),
        pytest.param(-200, "EngineKilled", None, "signal 200", id="a signal without a name"),
    ],
)
def test_the_cause_of_an_engines_end(code: int, reason: str, exit_code: int | None, signal: str | None) -> None:
    cause = termination.engine_exited(code, ["last"])
    assert (cause.reason, cause.exit_code, cause.signal, cause.log) == (reason, exit_code, signal, ("last",))


def test_a_long_log_loses_its_oldest_lines() -> None:
    cause = Cause("EngineExited", "m", 1, None, tuple(f"{number} " + "ü" * 400 for number in range(40)))
    data = termination.encode(cause)
    assert len(data) <= termination.MAX_BYTES
    kept = json.loads(data)["log"]
    assert kept[-1].startswith("39 ")
    assert 0 < len(kept) < 40


def test_a_long_message_fits_even_alone() -> None:
    data = termination.encode(Cause("LauncherFailed", "x" * 100_000))
    assert len(data) <= termination.MAX_BYTES


def test_a_log_entry_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.say("Starting", command='a "b"\nc', empty="", none=None, count=3)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("trireme-launcher 20")
    assert line.endswith('Starting command="a \\"b\\"\\nc" count=3')


def test_times_are_utc_to_the_second() -> None:
    assert log.timestamp(1767225600.9) == "2026-01-01T00:00:00Z"


def test_the_health_of_a_group_is_prometheus_text() -> None:
    roster = Roster([Place(1), Place(2)], is_leader=True, thresholds=Thresholds())
    roster.members[1].beat(Member("a", "Waiting", "", engine_running=False), 100.0)
    stages = (Entry(Stage.WAITING, 0.0, 3.0), Entry(Stage.LOADING, 3.0, 5.0), Entry(Stage.WAITING, 8.0, 1.5))
    status = Status(POD, (), (), Stage.WAITING, "", stages, 0.0, None, engine_running=False, engine_healthy=False)
    found = health_metrics.lines(replace(status, members=tuple(roster.as_json(101.5, {}))))
    assert 'trireme_launcher_stage_seconds{stage="Waiting"} 4.5' in found
    assert 'trireme_launcher_member_heartbeat_age_seconds{member="1"} 1.5' in found
    assert not any(line.startswith('trireme_launcher_member_heartbeat_age_seconds{member="2"}') for line in found)
    assert [line for line in found if "member_state{" in line and line.endswith(" 1")] == [
        'trireme_launcher_member_state{member="1",state="Alive"} 1',
        'trireme_launcher_member_state{member="2",state="Unknown"} 1',
    ]
    assert "trireme_launcher_stalled 0" in found
    stalled = replace(status, stalled=(0.0, 1), canary=Result(passed=True, seconds=0.25, at=0.0))
    for line in (
        "trireme_launcher_stalled 1",
        "trireme_launcher_canary_passed 1",
        "trireme_launcher_canary_seconds 0.250",
    ):
        assert line in health_metrics.lines(stalled)
