"""Processes of this host as /proc shows them: trees below a pod's launcher, and what is left of one."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """``started`` in clock ticks since the boot: with the id it names a process once and for all."""

    pid: int
    started: int
    title: str


def tree(pid: int) -> list[Process]:
    """A process and all below it, each parent before its children; empty when it is gone."""
    root = _look(pid)
    if root is None:
        return []
    found = [root]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += tree(int(child))
    return found


def alive(processes: Iterable[Process]) -> list[Process]:
    """Those that still run; what only waits to be reaped has ended."""
    found = []
    for each in processes:
        now = _look(each.pid)
        if now is not None and now.started == each.started:
            found.append(each)
    return found


def kill(processes: Iterable[Process], number: int = signal.SIGKILL) -> None:
    for each in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each.pid, number)


def seconds_until_gone(processes: Iterable[Process], *, limit: float) -> float | None:
    """How long until none of them runs; None when it is not within the limit."""
    began, left = time.monotonic(), list(processes)
    while left := alive(left):
        if time.monotonic() - began > limit:
            return None
        time.sleep(0.05)
    return time.monotonic() - began


def resident_bytes(pid: int) -> int:
    """Memory of one process, without what is only mapped."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _look(pid: int) -> Process | None:
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    fields = rest.split()
    return None if fields[0] == "Z" else Process(pid, int(fields[19]), title or name.partition("(")[2])
