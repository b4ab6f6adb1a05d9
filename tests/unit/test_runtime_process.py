"""Real launchers as processes, with the engine double as their engine: what docs/contract.md promises, end to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import build_zipapp
from tests.unit.pods import Group, Stream, kill_tree, start_ready, until


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    group = Group(tmp_path)
    yield group
    group.stop()


def test_a_group_starts_serves_and_drains_without_losing_a_running_stream(group: Group) -> None:
    group.settle_seconds = 1
    leader, worker = start_ready(group)
    assert leader.status()["ranks"] == [{"global": 0, "local": 0, "data": 0, "pipeline": 0, "tensor": 0}]
    assert worker.status()["ranks"] == [{"global": 1, "local": 0, "data": 0, "pipeline": 1, "tensor": 0}]
    assert "--headless" in worker.status()["command"]
    assert worker.status()["network"]["chosen"] == "lo"
    told = Path(f"/proc/{worker.status()['engine']['pid']}/environ").read_bytes().split(b"\0")
    assert {b"NCCL_SOCKET_IFNAME==lo", b"GLOO_SOCKET_IFNAME=lo"} <= set(told)

    stream = Stream(leader, tokens=100)
    until(lambda: "inference_queue_length 1\n" in leader.ask("/metrics")[1], "the stream is counted")
    # As when the whole group is deleted: both get the signal at once.
    worker.process.terminate()
    leader.process.terminate()
    until(lambda: leader.stage() == "Draining" and worker.stage() == "Draining", "both drain")
    assert leader.ask("/readyz")[0] == 503
    assert worker.ask("/readyz")[0] == 200, "a worker that holds its ranks still counts"

    assert leader.wait() == 0
    assert worker.process.poll() is None, "a worker outlives its leader"
    assert worker.wait() == 0
    stream.join()
    assert stream.lines[-1] == "[DONE]"
    assert stream.tokens == 100
    assert not leader.cause.exists()
    assert not worker.cause.exists()


def test_an_engine_that_ends_with_code_zero_ends_the_pod_with_its_first_cause(group: Group) -> None:
    group.size = 1
    (pod,) = start_ready(group)
    assert pod.ask_engine("/double/die?code=0", post=True)[0] == 200
    assert pod.wait() == 1
    cause = pod.first_cause()
    assert (cause["reason"], cause["exitCode"], cause["signal"]) == ("EngineExited", 0, None)
    assert any("serving tiny" in line for line in cause["log"])


def test_a_silent_worker_takes_the_leader_out_of_rotation_and_brings_it_back(group: Group) -> None:
    leader, worker = start_ready(group)
    os.kill(worker.process.pid, signal.SIGSTOP)
    until(lambda: leader.ask("/readyz")[0] == 503, "out of rotation after three seconds of silence", seconds=8)
    assert "worker 1: silent" in leader.ask("/readyz")[1]
    os.kill(worker.process.pid, signal.SIGCONT)
    until(lambda: leader.ask("/readyz")[0] == 200, "back in rotation", seconds=6)


def test_a_group_that_serves_outlives_an_outage_of_dns(group: Group, tmp_path: Path) -> None:
    outage = tmp_path / "outage"
    leader, worker = start_ready(group, {"LOOPBACK_NAMES_OUTAGE": str(outage)})
    outage.write_text("6")
    answers = set()
    deadline = time.monotonic() + 4.5  # silence would count after three
    while time.monotonic() < deadline:
        answers |= {leader.ask("/readyz"), (0, worker.status()["stage"])}
        time.sleep(0.2)
    assert answers == {(200, "Ready\n"), (0, "Ready")}

    # What is gone is still noticed at once.
    kill_tree(worker)
    until(lambda: leader.ask("/readyz")[0] != 200, "out of rotation", seconds=5)


def test_a_container_restarted_in_place_loads_nothing(group: Group) -> None:
    group.size = 1
    pod = group.start(command=("false",))
    assert pod.wait() == 1
    again = group.start(command=("false",))
    until(lambda: "restarted in place" in again.ask("/readyz")[1], "it waits and says why")
    again.process.terminate()
    assert again.wait() == 0


def test_a_container_restarted_in_place_ends_by_itself_when_its_signal_was_lost(group: Group, tmp_path: Path) -> None:
    group.size = 1
    assert group.start(command=("false",)).wait() == 1
    again = group.start(command=("touch", str(tmp_path / "loaded")))
    assert again.wait(20) == 1
    assert again.first_cause()["reason"] == "RestartedInPlace"
    assert not (tmp_path / "loaded").exists()


def test_orphans_are_reaped_and_nothing_outlives_the_engine(group: Group, tmp_path: Path) -> None:
    group.size = 1
    orphan, survivor, end = tmp_path / "orphan", tmp_path / "survivor", tmp_path / "end"
    os.mkfifo(end)
    # An orphan that ends at once, another in a session of its own that would stay, then the engine's end.
    orphans = f"(sh -c 'echo $$ > {orphan}' &); setsid sh -c 'echo $$ > {survivor}; exec sleep 60' &"
    pod = group.start(command=("sh", "-c", f"{orphans} read _ < {end}; kill -9 $$"))
    until(lambda: survivor.exists() and orphan.exists() and orphan.read_text().endswith("\n"), "both run")
    until(lambda: not Path(f"/proc/{orphan.read_text().strip()}").exists(), "the orphan is reaped")
    end.write_text("now\n")
    assert pod.wait() == 1
    assert pod.first_cause()["signal"] == "SIGKILL"
    assert not Path(f"/proc/{survivor.read_text().strip()}").exists()


def test_an_engine_that_ignores_sigterm_is_killed_inside_the_grace_period(group: Group) -> None:
    group.size = 1
    group.grace_seconds = 4
    (pod,) = start_ready(group, {"DOUBLE_IGNORE_SIGTERM": "1"})
    began = time.monotonic()
    pod.process.terminate()
    assert pod.wait() == 0
    assert time.monotonic() - began < group.grace_seconds


def test_a_stream_longer_than_the_grace_period_is_cut_in_time(group: Group) -> None:
    group.size = 1
    group.grace_seconds = 4
    (pod,) = start_ready(group)
    stream = Stream(pod, tokens=5000)
    until(lambda: "inference_queue_length 1\n" in pod.ask("/metrics")[1], "the stream runs")
    began = time.monotonic()
    pod.process.terminate()
    assert pod.wait() == 0
    assert time.monotonic() - began < group.grace_seconds
    stream.join()
    assert "error" in json.loads(stream.lines[-2])


def test_a_broken_environment_ends_with_code_two_and_names_the_variable(group: Group) -> None:
    pod = group.start(0, variables={"LWS_GROUP_SIZE": "two"})
    assert pod.wait() == 2
    assert "LWS_GROUP_SIZE is 'two'" in pod.output.read_text()
    assert pod.first_cause()["reason"] == "ContractBroken"


def test_a_command_that_does_not_exist_is_the_first_cause(group: Group) -> None:
    group.size = 1
    pod = group.start(command=("no-such-engine",))
    assert pod.wait() == 1
    assert pod.first_cause()["reason"] == "EngineNotStarted"
    assert "no-such-engine" in pod.first_cause()["message"]


def test_the_zipapp_is_the_launcher_and_stays_small(group: Group, tmp_path: Path) -> None:
    archive = tmp_path / "runtime.pyz"
    build_zipapp.build(archive)
    group.size = 1
    group.launcher = (sys.executable, str(archive))
    (pod,) = start_ready(group)
    assert pod.ask("/livez") == (200, "ok\n")
    assert pod.ask("/nothing")[0] == 404
    memory = Path(f"/proc/{pod.process.pid}/status").read_text()
    resident_kib = int(memory.partition("VmRSS:")[2].split()[0])
    assert resident_kib < 30 * 1024
    pod.process.terminate()
    assert pod.wait() == 0


def test_the_launcher_imports_nothing_but_the_standard_library(tmp_path: Path) -> None:
    archive = tmp_path / "runtime.pyz"
    build_zipapp.build(archive)
    argv = [sys.executable, "-I", "-S", str(archive), "true"]
    environment = {"TRIREME_TERMINATION_LOG": str(tmp_path / "cause")}
    result = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 2
    assert "TRIREME_CONTRACT is missing" in result.stderr
