"""What the launcher writes: metrics, the first cause, log lines."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from trireme_runtime import log, metrics, status_metrics, termination
from trireme_runtime.stage import Stage
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


STATUS: dict[str, Any] = {
    "role": "leader",
    "stage": "Ready",
    "stageSince": "2026-01-01T00:00:00Z",
    "ranks": [{"global": 2}, {"global": 3}],
    "engine": {"running": True, "healthy": True},
}
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp() + 7.5  # noqa: UP017 - as the launcher, on Python 3.10


def text(*, info: dict[str, str] | None = None, queue: int | None = None, **status: Any) -> str:
    said = STATUS | status
    more = status_metrics.lines(said, NOW, restarted_in_place=False)
    return metrics.text(info=info or {}, stage=Stage(said["stage"]), engine_healthy=True, queue=queue, more=more)


def samples(**status: Any) -> dict[str, str]:
    """Each sample below the launcher's prefix, but for those that are the same for all."""
    lines = [line.rpartition(" ") for line in text(**status).splitlines() if not line.startswith("#")]
    names = {name.removeprefix("trireme_launcher_"): value for name, _, value in lines}
    return {name: value for name, value in names.items() if not name.startswith(("info", "stage{", "engine_"))}


def test_what_prometheus_reads_is_what_was_meant() -> None:
    members = [{"index": 1, "state": "Alive", "heartbeatAge": 0.4}]
    families = list(
        text_string_to_metric_families(text(info={"pod": 'a"b\\c\n'}, queue=4, members=members, stalled=None))
    )
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert {family.type for family in families} == {"gauge"}
    assert all(family.documentation and family.samples for family in families)
    read = {sample.name: sample for family in families for sample in family.samples}
    assert read["trireme_launcher_info"].labels == {"pod": 'a"b\\c\n'}
    assert read["trireme_launcher_heartbeat_age_seconds"].value == 0.4


def test_every_metric_of_the_launcher_is_on_its_page() -> None:
    page = (Path(__file__).parents[2] / "docs/monitoring.md").read_text()
    said: dict[str, Any] = {
        "members": [{"index": 1, "state": "Alive", "heartbeatAge": 0.4}],
        "stages": [{"stage": "Draining", "seconds": 1, "bytes": 1, "totalBytes": 2}],
        "stalled": None,
        "canary": {"passed": True, "seconds": 1},
        "held": {"failures": 1},
    }
    families = text_string_to_metric_families(text(queue=4, stage="Draining", **said))
    assert {family.name for family in families if f"`{family.name}" not in page} == set()


def test_a_launcher_that_says_little_has_few_metrics() -> None:
    assert samples() == {
        "restarted_in_place": "0",
        "group_healthy": "1",
        'rank_healthy{rank="2"}': "1",
        'rank_healthy{rank="3"}': "1",
        'stage_seconds{stage="Ready"}': "7.5",
    }


def test_a_worker_says_nothing_of_the_group() -> None:
    assert "group_healthy" not in samples(role="worker")


def test_ranks_are_as_healthy_as_their_engine() -> None:
    assert samples(engine={"running": True, "healthy": False})['rank_healthy{rank="2"}'] == "0"
    assert samples(stage="Loading")["group_healthy"] == "0"


def test_members_their_heartbeats_and_a_stall() -> None:
    members = [
        {"index": 1, "state": "Alive", "heartbeatAge": 0.4},
        {"index": 2, "state": "Silent", "heartbeatAge": 4},
        {"index": 3, "state": "Unknown", "heartbeatAge": None},
    ]
    found = samples(members=members, stalled={"since": "2026-01-01T00:00:00Z", "running": 3})
    assert [found[f'member_alive{{member="{index}"}}'] for index in (1, 2, 3)] == ["1", "0", "0"]
    assert [found.get(f'heartbeat_age_seconds{{member="{index}"}}') for index in (1, 2, 3)] == ["0.4", "4.0", None]
    assert found["stalled"] == "1"
    assert samples(stalled=None)["stalled"] == "0"


def test_times_and_bytes_of_stages_are_summed() -> None:
    stages = [
        {"stage": "Fetching", "seconds": 3.25, "bytes": 10, "totalBytes": 10},
        {"stage": "Loading", "seconds": 3.1, "bytes": None, "totalBytes": None},
        {"stage": "Ready", "seconds": 5, "bytes": None, "totalBytes": None},
        {"stage": "Loading", "seconds": 1.4, "bytes": None, "totalBytes": None},
    ]
    found = samples(stage="Loading", stages=stages)
    assert (found['stage_seconds{stage="Loading"}'], found['stage_seconds{stage="Ready"}']) == ("4.5", "5.0")
    assert (found['stage_bytes{stage="Fetching"}'], found['stage_total_bytes{stage="Fetching"}']) == ("10", "10")
    assert 'stage_bytes{stage="Loading"}' not in found


def test_a_drain_a_canary_and_a_hold() -> None:
    assert samples(stage="Draining")["drain_seconds"] == "7.5"
    canary = {"passed": False, "seconds": 0.4, "at": "2026-01-01T00:00:00Z", "reason": ""}
    found = samples(canary=canary, held={"until": None, "failures": 5, "cause": "x"})
    assert found["canary_passed"] == "0"
    assert (found["canary_seconds"], found["held_failures"]) == ("0.4", "5")


def test_metrics_are_prometheus_text() -> None:
    info = {"pod": 'a"b\\c\n'}
    lines = text(info=info, queue=4).splitlines()
    assert 'trireme_launcher_info{pod="a\\"b\\\\c\\n"} 1' in lines
    assert [line for line in lines if line.startswith("trireme_launcher_stage{") and line.endswith(" 1")] == [
        'trireme_launcher_stage{stage="Ready"} 1'
    ]
    assert "inference_queue_length 4" in lines
    assert "inference_queue_length" not in text(info=info, queue=None)


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
