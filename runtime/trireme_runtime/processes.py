"""Every process below the launcher: orphans come to it, zombies are reaped, and all of them can be ended.

Those that are set apart (``apart``) are only reaped.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ROUND_SECONDS = 0.02
_PARENT_FIELD, _START_FIELD = 1, 19
"""Of those in /proc/PID/stat that follow the name (proc(5): the 4th and the 22nd of all)."""

_apart: set[tuple[int, str]] = set()
"""By number and time of start, as numbers are used again."""


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants; process 1 is that already.

    Raises OSError when the kernel refuses (it has been there since Linux 3.4).
    """
    if os.getpid() == 1:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def reap() -> dict[int, int]:
    """Exit codes (negative = signal) of all children that have ended since the last call, by process id."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def end_with(parent: int) -> None:
    """Let the kernel kill this process when the thread that started it is gone, which may be the case already.

    prctl(2): it is the thread that counts, not its process.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit


def set_apart(pid: int) -> None:
    """From now on ``descendants`` and ``kill_all`` leave this child out: it is no part of the engine."""
    if seen := _seen(pid):
        _apart.add((pid, seen[1]))


def kill_apart(pid: int) -> None:
    """End one that has been set apart, unless it has ended."""
    if (seen := _seen(pid)) and (pid, seen[1]) in _apart:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants() -> set[int]:
    """All processes below this one that are not apart, read from /proc; zombies count until they are reaped."""
    children: dict[int, list[int]] = {}
    with os.scandir("/proc") as entries:
        numbers = [int(entry.name) for entry in entries if entry.name.isdigit()]
    for pid in numbers:
        if (seen := _seen(pid)) and (pid, seen[1]) not in _apart:
            children.setdefault(seen[0], []).append(pid)
    found: set[int] = set()
    todo = [os.getpid()]
    while todo:
        for child in children.get(todo.pop(), []):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def _seen(pid: int) -> tuple[int, str] | None:
    """Its parent and the time of its start; None when it has gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold spaces and parentheses itself; the fields after the last one are numbers.
    fields = text.rpartition(b")")[2].split()
    return int(fields[_PARENT_FIELD]), fields[_START_FIELD].decode()


def kill_all(*, timeout_seconds: float = 5.0) -> dict[int, int]:
    """SIGKILL every descendant, again for those born meanwhile, until none is left; returns what was reaped.

    A process that the kernel cannot end (stuck in a device) is given up after the timeout: the container's end
    takes it along.
    """
    deadline = time.monotonic() + timeout_seconds
    ended: dict[int, int] = {}
    while True:
        left = descendants()
        if not left or time.monotonic() > deadline:
            return ended
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended.update(reap())
        time.sleep(_ROUND_SECONDS)
        ended.update(reap())
