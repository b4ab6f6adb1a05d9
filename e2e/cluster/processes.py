"""Processes that outlive the program that started them, and are found again.

A process is known by its pid *and* its start time (and the boot it belongs to), so a pid that the kernel gave
to somebody else is never mistaken for ours, nor killed. Each also carries ``TRIREME_CLUSTER`` in its
environment, which its children inherit: what lost its pid file is still recognised as ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from e2e import priority

MARK = "TRIREME_CLUSTER"
"""The environment variable that says which cluster a process belongs to."""

_SHOWN_LINES = 30

_FAVOUR_LEVELS = 10
"""Ten times the usual share of the processors."""

_RUNTIME = {"GOGC": "400"}
"""Go collects garbage each time its memory has grown by so many percent, 100 by itself. A quarter of the API server's
work was that: on two cores memory is the cheaper of the two.
"""

_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this very program started: someone has to reap it when it ends."""


class ProcessError(RuntimeError):
    """A process ended, or did not come up in time; shows the end of its log."""


@dataclass(frozen=True)
class Daemon:
    """A long-running program with a pid file and a log file."""

    name: str
    argv: Sequence[str]
    directory: Path
    """Where ``<name>.pid`` and ``<name>.log`` lie."""
    owner: str
    """The cluster it belongs to (the value of MARK)."""
    prefix: Sequence[str] = ()
    """Words that run argv somewhere else and become it (``nsenter --net=...``)."""
    environment: Mapping[str, str] = field(default_factory=dict)
    favoured: bool = False
    """Before other processes, and before the pods, which as one group count for several processes (cgroups.py): a
    cluster whose API server waits for its own pods loses its leaders.
    """

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def _pid_file(self) -> Path:
        return self.directory / f"{self.name}.pid"

    def pid(self) -> int | None:
        """The pid of the running process, or None."""
        try:
            pid, identity = self._pid_file.read_text().split(maxsplit=1)
        except (OSError, ValueError):
            return None
        return int(pid) if _identity(int(pid)) == identity.strip() else None

    def start(self) -> bool:
        """Start it unless it runs; says whether it had to be started."""
        if self.pid() is not None:
            return False
        self.directory.mkdir(parents=True, exist_ok=True)
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.directory), MARK: self.owner}
        environment |= {**_RUNTIME, **self.environment}
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [*(priority.words(_FAVOUR_LEVELS) if self.favoured else ()), *self.prefix, *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=environment,
                start_new_session=True,
            )
        if self.favoured:
            priority.favour_session(child.pid, _FAVOUR_LEVELS)
        _children[child.pid] = child
        self._pid_file.write_text(f"{child.pid} {_identity(child.pid)}\n")
        return True

    def stop(self, *, grace_seconds: float = 10.0) -> None:
        """End it: SIGTERM, and SIGKILL when it is still there after the grace period. Removes the pid file."""
        pid = self.pid()
        if pid is not None:
            end([pid], grace_seconds=grace_seconds)
        self._pid_file.unlink(missing_ok=True)

    def wait(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Return when ``ready()`` is true.

        Raises:
            ProcessError: the process ended, or ``seconds`` passed.

        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.pid() is None:
                raise ProcessError(f"{self.name} ended while it was starting; the end of {self.log}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} is not ready after {seconds:.0f} s; {self.log} ends:\n{self.tail()}")
            time.sleep(0.2)

    def tail(self) -> str:
        """The last lines of the log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:])
        except OSError:
            return "(no log)"


def end(pids: Iterable[int], *, grace_seconds: float) -> None:
    """End processes: SIGTERM to all, SIGKILL to those that are left after the grace period; waits until all are gone.

    A grace period of 0 kills at once.
    """
    left = {pid: identity for pid in pids if (identity := _identity(pid))}
    if grace_seconds > 0:
        _signal(left, signal.SIGTERM)
        _wait_gone(left, grace_seconds)
    _signal(left, signal.SIGKILL)
    _wait_gone(left, 10.0)


def marked(owner: str | None = None) -> dict[int, str]:
    """The running processes that carry the mark of the cluster ``owner``, or of any: command lines by pid."""
    begin = f"{MARK}=".encode()
    wanted = None if owner is None else begin + owner.encode()
    found = {}
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            variables = (directory / "environ").read_bytes().split(b"\0")
            if any(each == wanted if wanted else each.startswith(begin) for each in variables):
                found[int(directory.name)] = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:  # it ended meanwhile, or is another user's
            continue
    return {pid: line for pid, line in found.items() if _identity(pid)}


def ancestors() -> set[int]:
    """The calling process and those it descends from."""
    found, pid = set(), os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pid = int(status[1])
    return found


def _signal(pids: Mapping[int, str], number: signal.Signals) -> None:
    for pid, identity in pids.items():
        if _identity(pid) == identity:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _wait_gone(pids: dict[int, str], seconds: float) -> None:
    """Wait until the processes are gone; removes those that are from ``pids``."""
    deadline = time.monotonic() + seconds
    while pids:
        for pid in [pid for pid, identity in pids.items() if _identity(pid) != identity]:
            del pids[pid]
        if not pids or time.monotonic() > deadline:
            return
        time.sleep(0.02)


def _identity(pid: int) -> str:
    """What tells this process from every other that had or will have its pid; empty when it does not run."""
    try:
        # The second field is the program's name in parentheses and may hold anything.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    if state not in {"Z", "X"}:
        return f"{_boot()} {fields[18]}"
    child = _children.pop(pid, None)
    if child is not None:
        child.wait()
    return ""


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
