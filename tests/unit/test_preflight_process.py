"""Real launchers with a preflight before the engine double; this Python has no torch, so bandwidth is left out."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.pods import Group, Pod, children, start_ready, until

WARN = {"TRIREME_PREFLIGHT": "Warn", "TRIREME_NODE_NAME": "node-7"}
ENFORCE = {**WARN, "TRIREME_PREFLIGHT": "Enforce"}
TOO_MUCH = {"TRIREME_PREFLIGHT_SHARED_MEMORY": str(1 << 50)}


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    group = Group(tmp_path)
    yield group
    group.stop()


def checks(pod: Pod) -> dict[tuple[str, str], dict[str, Any]]:
    return {(check["name"], check["pod"]): check for check in pod.status()["preflight"]["checks"]}


def wait_for_stage(pod: Pod, stage: str) -> None:
    until(lambda: pod.stage() == stage, f"{pod.address} is in {stage}")


def test_a_group_is_proven_before_its_engines_start(group: Group) -> None:
    group.size = 3
    leader, *workers = start_ready(group, WARN)
    report = leader.status()["preflight"]
    assert (report["mode"], report["passed"]) == ("Warn", True)
    found = checks(leader)
    for index, pod in enumerate(["g-0", "g-0-1", "g-0-2"]):
        assert found["dns", pod]["passed"]
        # Two other pods, and on a worker the port on which the ranks will meet.
        assert found["ports", pod]["value"] == found["ports", pod]["threshold"] == (2 if index == 0 else 3)
    assert "not measured" in found["allReduce", "g-0"]["reason"]
    assert "No module named 'torch'" in found["allReduce", "g-0"]["reason"]
    assert all(worker.status()["preflight"]["passed"] for worker in workers)
    assert "trireme_launcher_preflight_passed 1" in leader.ask("/metrics")[1]
    log = leader.output.read_text()
    assert log.index("Waiting -> Preflight") < log.index("Preflight over") < log.index("Starting the engine")


def test_a_group_of_one_pod_looks_at_itself(group: Group) -> None:
    group.size = 1
    (pod,) = start_ready(group, {**WARN, "TRIREME_PREFLIGHT_SHARED_MEMORY": "4096"})
    assert set(checks(pod)) == {("sharedMemory", "g-0")}
    assert pod.status()["preflight"]["passed"] is True


def test_a_warning_names_pod_and_node_and_the_group_starts(group: Group) -> None:
    leader = group.start(0, variables=WARN)
    worker = group.start(1, variables={**WARN, **TOO_MUCH})
    for pod in (leader, worker):
        until(pod.is_ready, "it starts all the same")
    assert leader.status()["preflight"]["passed"] is False
    check = checks(leader)["sharedMemory", "g-0-1"]
    assert (check["passed"], check["node"], check["threshold"]) == (False, "node-7", 1 << 20)
    assert 'where="g-0-1 on node node-7"' in leader.output.read_text()


def test_an_enforced_preflight_ends_the_leader_and_starts_no_engine(group: Group, tmp_path: Path) -> None:
    started = tmp_path / "started"
    engine = ("touch", str(started))
    leader = group.start(0, command=engine, variables=ENFORCE)
    worker = group.start(1, command=engine, variables={**ENFORCE, **TOO_MUCH})
    assert leader.wait() == 1
    cause = leader.first_cause()
    assert cause["reason"] == "PreflightFailed"
    assert cause["message"].startswith("the preflight found: sharedMemory of g-0-1 on node node-7: /dev/shm has ")
    wait_for_stage(worker, "Waiting")
    assert not started.exists()
    assert children(worker.process.pid) == []


def test_a_limit_that_cannot_be_measured_is_not_kept(group: Group) -> None:
    pods = [group.start(index, variables={**ENFORCE, "TRIREME_PREFLIGHT_MIN_BANDWIDTH": "1"}) for index in range(2)]
    assert pods[0].wait() == 1
    assert "not measured: " in pods[0].first_cause()["message"]


def test_a_port_that_cannot_be_had_is_named_with_its_link(group: Group) -> None:
    with socket.create_server((group.address(0), group.master_port)):
        pods = [group.start(index, variables=ENFORCE) for index in range(2)]
        assert pods[0].wait() == 1
    message = pods[0].first_cause()["message"]
    assert f"port {group.master_port} of {group.address(0)} cannot be listened on: Address already in use" in message
    assert "ports of g-0-1 on node node-7 to g-0: port" in message


def slow_engine(folder: Path, text: str) -> tuple[str, ...]:
    """An engine whose Python, which the preflight starts first, does as ``text`` says."""
    python = folder / "python-of-the-engine"
    python.write_text(f"#!/bin/sh\n{text}\n")
    python.chmod(0o755)
    engine = folder / "vllm"
    engine.write_text(f"#!{python}\n")
    engine.chmod(0o755)
    return (str(engine),)


def test_a_pod_that_is_not_done_in_time_is_named(group: Group, tmp_path: Path) -> None:
    limit = {**ENFORCE, "TRIREME_PREFLIGHT_TIMEOUT_SECONDS": "3"}
    ready = slow_engine(tmp_path, 'echo \'{"event": "ready", "devices": 0}\'; read plan')
    (tmp_path / "slow").mkdir()
    leader = group.start(0, command=ready, variables=limit)
    worker = group.start(1, command=slow_engine(tmp_path / "slow", "sleep 60"), variables=limit)
    assert leader.wait() == 1
    assert leader.first_cause()["message"] == (
        "the preflight found: allReduce of g-0-1: its processes did not finish measuring within 3 s"
    )
    until(lambda: children(worker.process.pid) == [], "nothing of it is left on the worker")


def test_a_preflight_ends_at_once_on_sigterm(group: Group, tmp_path: Path) -> None:
    pods = [group.start(index, command=slow_engine(tmp_path, "sleep 60"), variables=WARN) for index in range(2)]
    for pod in pods:
        wait_for_stage(pod, "Preflight")
    processes = [pid for pod in pods for pid in children(pod.process.pid)]
    assert processes
    for pod in pods:
        pod.process.terminate()
        assert pod.wait(5) == 0
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]


def test_a_worker_that_is_lost_meanwhile_breaks_the_preflight_off_and_the_next_one_gets_its_own(
    group: Group, tmp_path: Path
) -> None:
    engine = slow_engine(tmp_path, "sleep 60")
    leader = group.start(0, command=engine, variables=WARN)
    worker = group.start(1, command=engine, variables=WARN)
    for pod in (leader, worker):
        wait_for_stage(pod, "Preflight")
    for pid in [worker.process.pid, *children(worker.process.pid)]:
        os.kill(pid, signal.SIGKILL)
    worker.wait()
    wait_for_stage(leader, "Waiting")
    assert leader.status()["preflight"] is None
    until(lambda: children(leader.process.pid) == [], "nothing of it is left on the leader")
    again = group.start(1, command=engine, variables={**WARN, "TRIREME_POD_UID": "uid-of-the-next-pod"})
    for pod in (leader, again):
        wait_for_stage(pod, "Preflight")
    assert again.status()["preflight"]["exchange"]["epoch"] == "uid-0/2"


def test_a_new_leader_gets_a_new_preflight(group: Group, tmp_path: Path) -> None:
    engine = slow_engine(tmp_path, "sleep 60")
    leader = group.start(0, command=engine, variables=WARN)
    worker = group.start(1, command=engine, variables=WARN)
    wait_for_stage(worker, "Preflight")
    for pid in [leader.process.pid, *children(leader.process.pid)]:
        os.kill(pid, signal.SIGKILL)
    leader.wait()
    (tmp_path / "pod-0/trireme-launcher-uid-0").unlink()
    group.start(0, command=engine, variables={**WARN, "TRIREME_POD_UID": "uid-of-the-next-pod"})
    until(
        lambda: (worker.status()["preflight"] or {}).get("exchange", {}).get("epoch") == "uid-of-the-next-pod/1",
        "the worker follows the new leader",
    )


def test_the_launcher_stays_small_after_a_preflight(group: Group) -> None:
    leader, _ = start_ready(group, WARN)
    memory = Path(f"/proc/{leader.process.pid}/status").read_text()
    assert int(memory.partition("VmRSS:")[2].split()[0]) < 30 * 1024, sys.version
