"""How measuring processes are found, heard, timed and ended; a script stands in for their words, never for torch."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.pod_environment import POD
from trireme_runtime import processes
from trireme_runtime.environment import Preflight
from trireme_runtime.preflight.measuring import Measuring, interpreter
from trireme_runtime.preflight.report import Check, Place, Program

ONE_EACH = replace(POD, ranks_per_pod=1, tensor_parallel_size=1, pipeline_parallel_size=2)
PODS = (Place("g-0", "127.0.0.1", 1), Place("g-0-1", "127.0.0.2", 1))
READY = {"event": "ready", "devices": 0}


def begin(step: str, seconds: float = 60, **more: int) -> dict[str, Any]:
    return {"event": "begin", "step": step, "seconds": seconds, **more}


@pytest.fixture
def made() -> Iterator[list[Measuring]]:
    made: list[Measuring] = []
    yield made
    for each in made:
        each.stop()
    processes.reap()


def script(folder: Path, before: list[dict[str, Any]], after: list[dict[str, Any]], then: str) -> str:
    """A program that says ``before``, waits for its plan, says ``after``, and then does as told."""
    path = folder / "python-that-only-talks"
    words = ["".join(f"echo {shlex.quote(json.dumps(event))}\n" for event in events) for events in (before, after)]
    path.write_text(f"#!/bin/sh\n{words[0]}read plan || exit 0\n{words[1]}{then}\n")
    path.chmod(0o755)
    return str(path)


def heard(measuring: Measuring, state: Program) -> list[Check]:
    deadline = time.monotonic() + 10
    while measuring.state is not state:
        assert time.monotonic() < deadline, measuring.state
        measuring.poll(time.monotonic())
        time.sleep(0.01)
    return measuring.checks


def gone(pid: int) -> bool:
    processes.reap()
    return not Path(f"/proc/{pid}").exists()


Make = Callable[..., Measuring]


@pytest.fixture
def make(tmp_path: Path, made: list[Measuring]) -> Make:
    def make(
        *after: dict[str, Any], then: str = "", before: tuple[dict[str, Any], ...] = (READY,), **settings: Any
    ) -> Any:
        python = script(tmp_path, list(before), list(after), then)
        chosen = Preflight(enforced=False, **settings)
        made.append(Measuring(ONE_EACH, chosen, python, os.environ))
        return made[-1]

    return make


def test_a_pair_and_the_collective_become_checks(make: Make) -> None:
    pair = {"event": "pair", "peer": 1, "bytesPerSecond": 11.2e9, "latencySeconds": 2e-5}
    measuring = make(begin("pairwise", peer=1), pair, {"event": "allReduce", "bytesPerSecond": 30e9}, {"event": "done"})
    heard(measuring, Program.READY)
    measuring.start(PODS)
    link, collective = heard(measuring, Program.DONE)
    assert (link.name, link.pod, link.peer, link.value, link.passed) == ("pairwise", POD.pod_name, "g-0-1", 11.2, True)
    assert (link.threshold, link.latency) == (None, 2e-5)
    assert (collective.name, collective.value, collective.peer) == ("allReduce", 30.0, None)


@pytest.mark.parametrize(("least", "passed"), [(11, True), (12, False)])
def test_a_link_below_the_limit_fails(make: Make, least: int, passed: bool) -> None:
    pair = {"event": "pair", "peer": 1, "bytesPerSecond": 11.2e9, "latencySeconds": 2e-5}
    measuring = make(pair, {"event": "done"}, min_bandwidth=least)
    heard(measuring, Program.READY)
    measuring.start(PODS)
    (link,) = heard(measuring, Program.DONE)
    assert (link.passed, link.threshold) == (passed, least)
    assert link.reason == ("" if passed else "11.2 GB/s, and at least 12 are asked for")


@pytest.mark.parametrize(
    ("after", "then", "name", "reason"),
    [
        pytest.param([begin("pairwise", 0, peer=1)], "sleep 60", "pairwise", "no answer within 0 s", id="a pair hangs"),
        pytest.param([begin("allReduce", 0)], "sleep 60", "allReduce", "rank 0: no answer within 0 s", id="all hang"),
        pytest.param(
            [begin("join")],
            "echo out of memory >&2; exit 9",
            "allReduce",
            "others: its process ended: out of memory",
            id="it dies",
        ),
        pytest.param(
            [begin("pairwise", peer=1), {"event": "failed", "reason": "Connection reset by peer"}],
            "sleep 60",
            "pairwise",
            "Connection reset",
            id="it says what failed",
        ),
    ],
)
def test_what_breaks_is_named_and_ended(
    make: Make, after: list[dict[str, Any]], then: str, name: str, reason: str
) -> None:
    measuring = make(*after, then=then)
    heard(measuring, Program.READY)
    pid = measuring._processes[0].pid
    measuring.start(PODS)
    (check,) = heard(measuring, Program.FAILED)
    assert (check.name, check.passed) == (name, False)
    assert check.peer == ("g-0-1" if name == "pairwise" else None)
    assert reason in check.reason
    deadline = time.monotonic() + 5
    while not gone(pid):
        assert time.monotonic() < deadline, "its process outlives it"
        time.sleep(0.01)


def test_nothing_that_a_process_started_outlives_it(make: Make, tmp_path: Path) -> None:
    left = tmp_path / "left"
    measuring = make(then=f"sleep 60 & echo $! > {left}; wait")
    heard(measuring, Program.READY)
    measuring.start(PODS)
    deadline = time.monotonic() + 10
    while not (left.exists() and left.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    measuring.stop()
    child = Path(f"/proc/{left.read_text().strip()}/stat")
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, "a child of it is still there"
        time.sleep(0.01)


def test_without_torch_nothing_is_measured_and_the_reason_is_kept(make: Make) -> None:
    measuring = make(before=({"event": "unavailable", "reason": "No module named 'torch'"},))
    assert heard(measuring, Program.UNAVAILABLE) == []
    assert measuring.why == "No module named 'torch'"


def test_a_real_python_without_torch_says_so(made: list[Measuring]) -> None:
    variables = {**os.environ, "PYTHONPATH": "", "PYTHONNOUSERSITE": "1"}
    made.append(Measuring(ONE_EACH, Preflight(enforced=False), sys.executable, variables))
    assert heard(made[-1], Program.UNAVAILABLE) == []
    assert "cannot import torch: No module named 'torch'" in made[-1].why


def test_a_python_that_is_not_there_is_the_reason(made: list[Measuring]) -> None:
    made.append(Measuring(ONE_EACH, Preflight(enforced=False), "/no/python", os.environ))
    assert made[-1].state is Program.UNAVAILABLE
    assert made[-1].why == "/no/python cannot be started: No such file or directory"


def test_torch_must_find_the_devices(make: Make) -> None:
    measuring = make(accelerator="nvidia.com/gpu")
    (check,) = heard(measuring, Program.UNAVAILABLE)
    assert (check.name, check.passed, check.reason) == ("devices", False, "torch finds 0 of 1 devices")


def test_one_rank_without_a_device_has_nothing_to_measure(made: list[Measuring]) -> None:
    alone = replace(ONE_EACH, group_size=1)
    made.append(Measuring(alone, Preflight(enforced=False), "/no/python", os.environ))
    assert made[-1].state is Program.NONE


def test_one_rank_with_a_device_only_counts(make: Make, made: list[Measuring], tmp_path: Path) -> None:
    python = script(tmp_path, [{"event": "ready", "devices": 1}], [], "sleep 60")
    made.append(
        Measuring(
            replace(ONE_EACH, group_size=1), Preflight(enforced=False, accelerator="nvidia.com/gpu"), python, os.environ
        )
    )
    (check,) = heard(made[-1], Program.NONE)
    assert (check.name, check.passed) == ("devices", True)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("#!/opt/vllm/bin/python3\n", "/opt/vllm/bin/python3"),
        ("#!/opt/vllm/bin/python3 -sE\n", "/opt/vllm/bin/python3"),
        ("#!/bin/sh\n'''exec' \"/a/very/long/python3\" \"$0\" \"$@\"\n' '''\n", "/a/very/long/python3"),
        ("#!/bin/sh\n'''exec' /a/very/long/python3 \"$0\" \"$@\"\n' '''\n", "/a/very/long/python3"),
        ("#!/bin/bash\nexec something\n", sys.executable),
        ("\x7fELF", sys.executable),
    ],
)
def test_the_python_of_the_engine_is_found(tmp_path: Path, text: str, want: str) -> None:
    program = tmp_path / "vllm"
    program.write_text(text)
    program.chmod(0o755)
    assert interpreter("vllm", str(tmp_path)) == want
    assert interpreter(str(program), None) == want


def test_the_python_of_the_path_is_found(tmp_path: Path) -> None:
    for name, text in (("vllm", "#!/usr/bin/env -S python3\n"), ("python3", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    assert interpreter("vllm", str(tmp_path)) == str(tmp_path / "python3")
    assert interpreter("python3", str(tmp_path)) == str(tmp_path / "python3")
    assert interpreter("nothing", str(tmp_path)) == sys.executable
