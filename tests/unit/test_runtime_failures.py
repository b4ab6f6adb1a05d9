"""What breaks in a group, with real launchers around the engine double: out of rotation at once, ended as one.

The double behaves as vLLM does when something dies: a leader that is idle notices nothing, a worker never does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.pods import DOUBLE, Group, Pod, Stream, kill_tree, start_ready, until
from trireme_runtime import rank_watch

OUT_OF_ROTATION_SECONDS = 5


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    group = Group(tmp_path)
    yield group
    group.stop()


def engine_pid(pod: Pod) -> int:
    pid = pod.status()["engine"]["pid"]
    assert isinstance(pid, int)
    return pid


def with_a_rank(group: Group, name: str) -> list[Pod]:
    """The double has no ranks: a process that is called as vLLM calls them lives beside the worker's."""
    starts = f'bash -c "exec -a {name} sleep 1000" & exec "$0" "$@"'
    engine = (*DOUBLE, "--host", group.address(1), "--port", str(group.engine_port))
    pods = [group.start(0), group.start(1, command=("bash", "-c", starts, *engine))]
    for pod in pods:
        until(pod.is_ready, f"{pod.address} is ready")
    time.sleep(2 * rank_watch.INTERVAL_SECONDS)  # a double loads nothing: it may be ready before its ranks were seen
    return pods


def is_out(leader: Pod) -> bool:
    return leader.ask("/readyz")[0] != 200


@pytest.mark.parametrize(
    ("victim", "streaming"),
    [
        pytest.param(1, False, id="worker, idle"),
        pytest.param(1, True, id="worker, streaming"),
        pytest.param(0, True, id="leader, streaming"),
    ],
)
def test_an_engine_that_is_killed_ends_its_group_with_the_first_cause(
    group: Group, victim: int, streaming: bool
) -> None:
    pods = start_ready(group)
    engines = [engine_pid(pod) for pod in pods]
    stream = Stream(pods[0], tokens=5000) if streaming else None
    os.kill(engines[victim], signal.SIGKILL)
    until(lambda: is_out(pods[0]), "out of rotation", seconds=OUT_OF_ROTATION_SECONDS)
    assert [pod.wait(10) for pod in pods] == [1, 1]
    # The one that survived tells what the other one said.
    for pod in pods:
        cause = pod.first_cause()
        assert (cause["reason"], cause["signal"], cause["rank"]) == ("EngineKilled", "SIGKILL", victim)
        assert cause["pod"] == ["g-0", "g-0-1"][victim]
    assert not any(Path(f"/proc/{pid}").exists() for pid in engines)
    if stream is not None:
        stream.join(10)
        assert not stream.is_alive(), "a client is told, too"


def test_a_rank_that_is_killed_ends_its_group_before_its_engine_has_noticed(group: Group) -> None:
    rank = f"VLLM::Worker_PP1-{group.engine_port}"
    pods = with_a_rank(group, rank)
    subprocess.run(["pkill", "-KILL", "-f", f"^{rank} 1000$"], check=True)
    until(lambda: is_out(pods[0]), "out of rotation", seconds=OUT_OF_ROTATION_SECONDS)
    assert [pod.wait(10) for pod in pods] == [1, 1]
    for pod in pods:
        cause = pod.first_cause()
        assert cause["reason"] in {"RankKilled", "RankExited"}
        assert (cause["pod"], cause["rank"]) == ("g-0-1", 1)
        assert rank in cause["message"]


def test_ranks_that_end_because_the_leader_drains_are_no_failure(group: Group) -> None:
    group.settle_seconds = 4
    rank = f"VLLM::Worker_PP1-{group.engine_port}"
    pods = with_a_rank(group, rank)
    pods[0].process.terminate()
    until(lambda: is_out(pods[0]), "out of rotation", seconds=OUT_OF_ROTATION_SECONDS)
    until(lambda: pods[1].status()["members"][0]["stage"] == "Draining", "the worker knows it")
    subprocess.run(["pkill", "-KILL", "-f", f"^{rank} 1000$"], check=True)
    assert [pod.wait() for pod in pods] == [0, 0]
    assert not any(pod.cause.exists() for pod in pods)


def test_a_worker_that_is_told_to_end_takes_its_group_through_a_drain(group: Group) -> None:
    group.settle_seconds = 1
    leader, worker = start_ready(group)
    stream = Stream(leader, tokens=100)
    until(lambda: "inference_queue_length 1\n" in leader.ask("/metrics")[1], "the stream runs")
    worker.process.terminate()
    until(lambda: is_out(leader), "out of rotation", seconds=OUT_OF_ROTATION_SECONDS)
    assert [leader.wait(), worker.wait()] == [0, 0]
    stream.join()
    assert stream.tokens == 100
    assert not leader.cause.exists()
    assert not worker.cause.exists()


def test_pods_that_cannot_hear_each_other_wait_for_a_while_and_then_both_end(group: Group) -> None:
    wire = group.wires()
    limits = {"TRIREME_MEMBER_SILENT_SECONDS": "2", "TRIREME_MEMBER_LOST_SECONDS": "5"}
    leader, worker = start_ready(group, limits)
    engines = [engine_pid(leader), engine_pid(worker)]

    wire.cut()
    until(lambda: is_out(leader), "out of rotation", seconds=OUT_OF_ROTATION_SECONDS)
    assert "worker 1: silent" in leader.ask("/readyz")[1]
    assert leader.status()["members"][0]["state"] == "Silent"
    wire.mend()
    until(lambda: not is_out(leader) and worker.stage() == "Ready", "back in rotation")
    assert [engine_pid(leader), engine_pid(worker)] == engines, "a short cut costs no reload"

    wire.cut()
    assert [leader.wait(15), worker.wait(15)] == [1, 1]
    assert [pod.first_cause()["reason"] for pod in (leader, worker)] == ["MemberLost", "MemberLost"]
    assert [pod.first_cause()["pod"] for pod in (leader, worker)] == ["g-0-1", "g-0"]


def test_a_worker_restarted_in_place_ends_its_group_and_loads_nothing(group: Group) -> None:
    leader, worker = start_ready(group)
    engine = engine_pid(leader)
    kill_tree(worker)
    worker.process.wait()
    again = group.start(1)
    until(lambda: is_out(leader), "out of rotation", seconds=OUT_OF_ROTATION_SECONDS)
    assert leader.wait(10) == 1
    cause = leader.first_cause()
    assert (cause["reason"], cause["pod"], cause["rank"]) == ("MemberDead", "g-0-1", 1)
    assert not Path(f"/proc/{engine}").exists()
    until(lambda: again.stage() == "Failed", "it waits for its end")
    assert "restarted in place" in again.ask("/readyz")[1]
    assert again.status()["engine"]["pid"] is None


def test_a_new_leader_starts_with_new_workers_only(group: Group) -> None:
    leader, worker = start_ready(group)
    engine = engine_pid(worker)
    kill_tree(leader)
    leader.process.wait()
    late = group.start(0, variables={"TRIREME_POD_UID": "uid-of-the-next-leader"})
    assert worker.wait(10) == 1
    cause = worker.first_cause()
    assert (cause["reason"], cause["pod"], cause["rank"]) == ("MemberDead", "g-0", 0)
    assert not Path(f"/proc/{engine}").exists(), "it does not outlive its leader"
    until(lambda: late.stage() == "Waiting", "it waits for workers of its own")
    assert late.status()["engine"]["pid"] is None
    new = group.start(1, variables={"TRIREME_POD_UID": "uid-of-the-next-worker"})
    until(lambda: late.is_ready() and new.is_ready(), "the group has started anew")
    assert late.status()["epoch"] == new.status()["epoch"] == "uid-of-the-next-leader"


def test_an_engine_that_hangs_with_requests_is_taken_out_and_ended(group: Group) -> None:
    leader, worker = start_ready(group, {"TRIREME_STALL_SECONDS": "2", "DOUBLE_PREFILL_SECONDS": "0.5"})
    stream = Stream(leader, tokens=5000)
    until(lambda: "inference_queue_length 1\n" in leader.ask("/metrics")[1], "the stream runs")
    time.sleep(2.5)
    assert not is_out(leader), "an engine that works is not stalled"
    leader.ask_engine("/double/hang", post=True)
    until(lambda: is_out(leader), "out of rotation", seconds=2 + OUT_OF_ROTATION_SECONDS)
    assert [leader.wait(10), worker.wait(10)] == [1, 1]
    assert [pod.first_cause()["reason"] for pod in (leader, worker)] == ["Stalled", "Stalled"]
    stream.join(10)
    assert not stream.is_alive()


def test_a_group_is_ready_only_after_a_completion(group: Group) -> None:
    group.size = 1
    engine = (*DOUBLE, "--host", group.address(0), "--port", str(group.engine_port))
    # The launcher sees no key in its arguments, so its canary is turned away.
    hidden = ("sh", "-c", 'exec "$@" --api-key secret', "sh", *engine)
    pod = group.start(command=hidden)
    until(lambda: "canary completion; the last one failed: /v1/models answers 401" in pod.ask("/readyz")[1], "refused")
    assert pod.ask_engine("/health")[0] == 200
    assert pod.status()["canary"]["passed"] is False
    pod.process.terminate()
    assert pod.wait() == 0

    keyed = group.start(command=(*engine, "--api-key", "secret"), variables={"TRIREME_POD_UID": "another"})
    until(keyed.is_ready, "it completes with the key of its engine")
    assert keyed.status()["canary"]["passed"] is True
    stages = [entry["stage"] for entry in keyed.status()["stages"]]
    assert stages == ["Waiting", "Loading", "Ready"]
