"""Real launchers around engines that all answer HTTP (hybrid, external load balancing): one group, one readiness."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.pods import Group, Pod, Stream, free_port, kill_tree, start_ready, until


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    group = Group(tmp_path)
    yield group
    group.stop()


def replicas(balancing: str) -> dict[str, str]:
    return {
        "TRIREME_PIPELINE_PARALLEL_SIZE": "1",
        "TRIREME_DATA_PARALLEL_SIZE": "2",
        "TRIREME_DATA_PARALLEL_BALANCING": balancing,
        "TRIREME_DATA_PARALLEL_PORT": str(free_port()),
    }


def queue(pod: Pod) -> str:
    lines = [line for line in pod.ask("/metrics")[1].splitlines() if line.startswith("inference_queue_length ")]
    return lines[0].split()[1] if lines else ""


def test_the_leader_of_internal_load_balancing_serves_for_both_replicas(group: Group) -> None:
    leader, worker = start_ready(group, replicas("Internal"))
    assert worker.status()["ranks"] == [{"global": 1, "local": 0, "data": 1, "pipeline": 0, "tensor": 0}]
    assert "--headless" in worker.status()["command"]
    assert leader.ask_engine("/v1/completions", {"model": "tiny", "prompt": "row", "max_tokens": 2})[0] == 200
    assert worker.ask_engine("/health")[0] == 0


def test_every_pod_serves_and_the_leader_says_the_queue_of_all(group: Group) -> None:
    leader, worker = start_ready(group, replicas("External"))
    assert [pod.status()["serves"] for pod in (leader, worker)] == [True, True]
    streams = [Stream(pod, tokens=100) for pod in (leader, worker, worker)]
    until(lambda: queue(leader) == "3", "the leader counts the requests of both pods")
    assert queue(worker) == ""
    for stream in streams:
        stream.join()
    assert [stream.tokens for stream in streams] == [100, 100, 100]
    # A part of the queue is not said for the whole of it.
    worker.ask_engine("/double/no_metrics", post=True)
    until(lambda: queue(leader) == "", "the leader says nothing")


@pytest.mark.parametrize("sick", [0, 1], ids=["the leader's engine", "the worker's engine"])
def test_a_sick_engine_takes_all_pods_out_of_rotation_and_brings_them_back(group: Group, sick: int) -> None:
    pods = start_ready(group, replicas("External"))
    pods[sick].ask_engine("/double/unhealthy", post=True)
    until(lambda: [pod.ask("/readyz")[0] for pod in pods] == [503, 503], "both are out of rotation", seconds=5)
    pods[sick].ask_engine("/double/unhealthy?value=0", post=True)
    until(lambda: [pod.ask("/readyz")[0] for pod in pods] == [200, 200], "both are back")
    # What one launcher says of the other must not grow as it goes back and forth.
    assert all(len(pod.status()["reason"]) < 200 for pod in pods)


def test_a_replica_that_dies_takes_the_others_along(group: Group) -> None:
    leader, worker = start_ready(group, replicas("External"))
    kill_tree(worker)
    until(lambda: leader.ask("/readyz")[0] != 200, "the leader is out of rotation", seconds=5)
    assert leader.wait() == 1
    assert (leader.first_cause()["reason"], leader.first_cause()["pod"]) == ("MemberDead", "g-0-1")


@pytest.mark.parametrize("at_once", [False, True], ids=["the leader first", "both at once"])
def test_a_drain_finishes_what_runs_on_any_pod(group: Group, at_once: bool) -> None:
    group.settle_seconds = 1
    leader, worker = start_ready(group, replicas("External"))
    stream = Stream(worker, tokens=150)
    until(lambda: queue(leader) == "1", "the stream runs on the worker")
    # In a scale-down the leader is told before its workers; nothing runs on it.
    for pod in (worker, leader) if at_once else (leader,):
        pod.process.terminate()
    until(lambda: worker.ask("/readyz")[0] == 503, "the worker leaves rotation")
    until(lambda: worker.status()["engine"]["unfinished"] == 1, "the worker counts what runs")
    assert leader.wait() == 0
    stream.join()
    assert (stream.tokens, json.loads(stream.lines[-2])["choices"][0]["finish_reason"]) == (150, "length")
    assert worker.wait() == 0, "a worker does not outlive its leader, whether it is told to end or not"
