"""The engine's processes that hold ranks: one that has ended while the engine goes on is a rank that is dead.

vLLM notices that by itself and ends, but seconds later, and with exit code 0 (measured from SIGKILL to the end: 3.7 s
with 0.26 on GPUs, 7.4 s with 0.32 on busy processors). Requests hang until then.

It names its processes with setproctitle: ``VLLM::Worker_TP0``, ``VLLM::EngineCore_DP0`` (vllm/utils/system_utils.py).
What such a process starts has its name too, until it runs another program (a compiler, say) or for all its short life:
that is no rank. No rank of vLLM is the child of one of its own kind, and none takes a name of another kind.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trireme_runtime import processes
from trireme_runtime.termination import Cause

INTERVAL_SECONDS = 1.0
GONE_SECONDS = 1.0
"""For so long an engine that ends as a whole may be ahead of us: then its own end is the cause."""

_TITLES = ("VLLM::Worker", "VLLM::EngineCore")
_ENDED = frozenset("ZX")
_PARENT_FIELD, _START_FIELD, _EXIT_CODE_FIELD = 1, 19, 49
"""Of those in /proc/PID/stat that follow the name (proc(5): the 4th, the 22nd and the 52nd of all)."""


@dataclass(frozen=True)
class Process:
    """A process as /proc shows it; ``status`` is its wait status once it has ended, where that may be read."""

    title: str
    started: str
    ended: bool = False
    status: int = 0
    parent: int = 0

    @property
    def kind(self) -> str:
        """How the names of such processes begin; empty for one that holds no rank."""
        return next((title for title in _TITLES if self.title.startswith(title)), "")


LookFn = Callable[[], Mapping[int, Process]]


class RankWatch:
    """Asked by the main loop, every time on the monotonic clock."""

    def __init__(self, look: LookFn | None = None) -> None:
        self._look = look or below
        self._known: dict[int, Process] = {}
        self._gone: dict[int, tuple[Process, float]] = {}
        self._due = 0.0

    def cause(self, now: float, log: tuple[str, ...] = ()) -> Cause | None:
        """The death of the first rank that has been gone for long enough."""
        if now >= self._due:
            self._due = now + INTERVAL_SECONDS
            self._take(self._look(), now)
        for process, at in self._gone.values():
            if now - at >= GONE_SECONDS:
                return _of(process, log)
        return None

    def _take(self, found: Mapping[int, Process], now: float) -> None:
        for pid, known in list(self._known.items()):
            seen = found.get(pid)
            if seen is not None and seen.started == known.started and not seen.ended:
                if seen.kind != known.kind:
                    del self._known[pid]  # it was about to run something else
                continue
            # How it ended is to be read only until its parent has asked.
            status = seen.status if seen is not None and seen.started == known.started else 0
            before = self._gone.get(pid)
            if before is None or (status and not before[0].status):
                self._gone[pid] = (
                    Process(known.title, known.started, ended=True, status=status),
                    before[1] if before else now,
                )
        self._known |= {pid: seen for pid, seen in found.items() if pid not in self._known and _is_rank(seen, found)}


def _is_rank(seen: Process, found: Mapping[int, Process]) -> bool:
    parent = found.get(seen.parent)
    return bool(seen.kind) and not seen.ended and (parent is None or parent.kind != seen.kind)


def below() -> dict[int, Process]:
    """The processes below this one."""
    found = {}
    for pid in processes.descendants():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        title = words.partition(b"\0")[0].decode("utf-8", errors="replace").strip()
        ended = fields[0] in _ENDED
        # A zombie has no command line any more: it is known by its number and the time of its start.
        status = int(fields[_EXIT_CODE_FIELD]) if ended else 0
        found[pid] = Process(title, fields[_START_FIELD], ended, status, int(fields[_PARENT_FIELD]))
    return found


def _of(process: Process, log: tuple[str, ...]) -> Cause:
    what = f"the engine's process {process.title}"
    number = process.status & 0x7F
    if number:
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return Cause("RankKilled", f"{what} was ended by {name}", None, name, log)
    code = process.status >> 8 if process.status else None
    said = "ended" if code is None else f"ended with exit code {code}"
    return Cause("RankExited", f"{what} {said} while the engine went on", code, None, log)
