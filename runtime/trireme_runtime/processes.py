"""Every process below the launcher: orphans come to it, zombies are reaped, and all of them can be ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_ROUND_SECONDS = 0.02


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


def descendants() -> set[int]:
    """All processes below this one, read from /proc; zombies count until they are reaped."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = _parent(int(entry.name))
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    todo = [os.getpid()]
    while todo:
        for child in children.get(todo.pop(), []):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def _parent(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None  # it ended meanwhile
    # The name in parentheses may hold spaces and parentheses itself; the fields after the last one are numbers.
    return int(text.rpartition(")")[2].split()[1])


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
