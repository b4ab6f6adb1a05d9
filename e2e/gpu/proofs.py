"""Preflights over NCCL, and what the launcher tells of a device that fails: groups whose engine only sleeps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from e2e.gpu import processes
from e2e.gpu.machine import Machine
from e2e.gpu.pods import SLEEPER, Group, resource
from e2e.gpu.shapes import Layout

Obj = dict[str, Any]

LIMIT_SECONDS: Final = 20.0
_WAIT_SECONDS: Final = 60.0
_XID_SECONDS: Final = 20.0
_SHOWN: Final = ("name", "passed", "pod", "peer", "value", "unit", "latencyMicroseconds", "reason")
_HOLD: Final = """
import sys, time, torch
free, total = torch.cuda.mem_get_info(0)
held = torch.empty(total // 2, dtype=torch.uint8, device="cuda:0")
print("held", flush=True)
time.sleep(600)
"""
_FAULT: Final = """
import cupy
cupy.RawKernel('extern "C" __global__ void f(int *p) { *p = 1; }', "f")((1,), (1,), (16,))
cupy.cuda.runtime.deviceSynchronize()
"""


def measured(layout: Layout, machine: Machine, model: Path, *, folder: Path) -> Obj:
    """A sound group: what each check found, and how long all of it took."""
    with _group(layout, machine, model, folder, mode="Warn") as group:
        _until_started(group)
        report = json.loads(group.ask(0, "/statusz")[1])["preflight"]
    seconds = float(report["seconds"])
    checks = [{key: check[key] for key in _SHOWN if check.get(key) is not None} for check in report["checks"]]
    passed = bool(report["passed"]) and (machine.rehearsal or seconds <= LIMIT_SECONDS)
    return {"seconds": seconds, "limit_seconds": LIMIT_SECONDS, "passed": passed, "checks": checks}


def hidden(layout: Layout, machine: Machine, model: Path, *, folder: Path) -> Obj:
    """A device of the last pod is hidden."""
    last = layout.pods - 1
    variables = {last: {"CUDA_VISIBLE_DEVICES": ""}}
    return _refused(layout, machine, model, folder, variables=variables, expected=f"devices of gpu-0-{last}")


def taken(layout: Layout, machine: Machine, model: Path, *, folder: Path) -> Obj:
    """Half the memory of the last pod's device is another process's."""
    last = layout.pods - 1
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": str(machine.first + layout.world - 1)}
    holder = subprocess.Popen([sys.executable, "-c", _HOLD], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None  # noqa: S101  (it was asked for)
        holder.stdout.readline()
        return _refused(layout, machine, model, folder, variables={}, expected=f"memory of gpu-0-{last}")
    finally:
        holder.kill()
        holder.wait(30)


def xid(layout: Layout, machine: Machine, model: Path, *, folder: Path) -> Obj:
    """A program that is no part of the group writes where it may not, on the group's first device."""
    with _group(layout, machine, model, folder, mode="Warn") as group:
        _until_started(group)
        time.sleep(2.0)
        before = _xids(group)
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": str(machine.first)}
        done = subprocess.run(
            [sys.executable, "-c", _FAULT], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        deadline = time.monotonic() + _XID_SECONDS
        while (after := _xids(group)) == before and time.monotonic() < deadline:
            time.sleep(0.5)
        return {
            "program": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][-300:],
            "before": before,
            "after": after,
            "passed": bool(before) and after != before,
            "launcher_resident_bytes": [processes.resident_bytes(each.pid) for each in group.processes],
        }


def _xids(group: Group) -> list[str]:
    found = []
    for index in range(group.layout.pods):
        lines = group.ask(index, "/metrics")[1].splitlines()
        found += [line for line in lines if "xid" in line and not line.startswith("#")]
    return found


@contextmanager
def _group(
    layout: Layout,
    machine: Machine,
    model: Path,
    folder: Path,
    *,
    mode: str,
    variables: Mapping[int, Mapping[str, str]] | None = None,
) -> Iterator[Group]:
    cluster = resource(layout, machine, model, preflight={"mode": mode})
    chosen = variables or {}
    group = Group(
        layout,
        machine,
        cluster,
        network=34,
        folder=folder,
        engine=SLEEPER,
        variables=lambda index: chosen.get(index, {}),
    )
    try:
        group.start()
        yield group
    finally:
        group.kill()


def _until_started(group: Group) -> None:
    """Until the engine's place is taken in every pod; raises RuntimeError when a launcher ends before."""
    deadline = time.monotonic() + _WAIT_SECONDS
    marks = [group.folder(index) / "engine-started" for index in range(group.layout.pods)]
    while not all(mark.exists() for mark in marks):
        if time.monotonic() > deadline or any(each.poll() is not None for each in group.processes):
            raise RuntimeError("the preflight did not end: " + group.output(0)[-3000:])
        time.sleep(0.1)


def _refused(
    layout: Layout,
    machine: Machine,
    model: Path,
    folder: Path,
    *,
    variables: Mapping[int, Mapping[str, str]],
    expected: str,
) -> Obj:
    """A group that must not start, since what is wrong is found and named."""
    began = time.monotonic()
    with _group(layout, machine, model, folder, mode="Enforce", variables=variables) as group:
        code = group.processes[0].wait(_WAIT_SECONDS)  # workers wait on: in a cluster their pods are deleted
        seconds = round(time.monotonic() - began, 1)
        cause = group.cause(0)
        started = (group.folder(0) / "engine-started").exists()
    message = "" if cause is None else str(cause["message"])
    named = cause is not None and cause["reason"] == "PreflightFailed" and expected in message
    passed = named and not started and seconds <= LIMIT_SECONDS
    return {"seconds": seconds, "exit_code": code, "message": message, "named": named, "passed": passed}
