"""Did the kernel kill a process of this container for memory, and what was the limit? Told by the container's cgroup.

With cgroup v1, and with v2 where the kubelet lets the others live (``singleProcessOOMKill``), only the greatest process
is killed: an engine or a rank of it, while the container goes on, and Kubernetes calls nothing OOMKilled. The counters
are those of Documentation/admin-guide/cgroup-v2.rst (``memory.events``) and cgroup-v1/memory.rst of the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from trireme_runtime.termination import Cause

REASON = "OOMKilled"
_NO_LIMIT = 1 << 60
"""cgroup v1 shows a number near 2^63 where there is none."""
_FULL = 0.95
"""Share of the limit at which a container was full. Its pod's limit, the sum of its containers', is reached a little
earlier, since the sandbox takes some of it; the pod's cgroup, which no container sees, then counts the hit."""
_KIB = 1024
_UNITS = ("B", "KiB", "MiB", "GiB")


@dataclass(frozen=True)
class Counters:
    """Processes killed for memory so far, how often the limit was in the way, the limit in bytes (None: none).

    peak: the most that was ever used, in bytes; None where the kernel does not say (v2 before 5.19).
    """

    kills: int
    hits: int
    limit: int | None
    peak: int | None

    @property
    def full(self) -> bool:
        """Whether the limit was ever reached, or all of it but what the pod's sandbox takes."""
        return self.limit is not None and self.peak is not None and self.peak >= _FULL * self.limit


@dataclass(frozen=True)
class Cgroup:
    """Where the counters are: in ``events`` by the names ``kills`` and ``hits``, or the latter in a file of its own."""

    directory: Path
    events: str
    hits: str
    limit: str
    peak: str

    def read(self) -> Counters | None:
        """None when they can't be read, or when this kernel doesn't count kills (v1 before 4.13)."""
        found = dict(_pairs(_text(self.directory / self.events)))
        if "oom_kill" not in found:
            return None
        hits = found["oom"] if "oom" in found else _number(_text(self.directory / self.hits)) or 0
        limit = _number(_text(self.directory / self.limit))
        limit = limit if limit is not None and limit < _NO_LIMIT else None
        return Counters(found["oom_kill"], hits, limit, _number(_text(self.directory / self.peak)))


def own_cgroup(root: Path = Path("/")) -> Cgroup | None:
    """That of this process, in either version; None where there is none to be read."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            mount, files = "sys/fs/cgroup", ("memory.events", "", "memory.max", "memory.peak")
        elif "memory" in controllers.split(","):
            mount = "sys/fs/cgroup/memory"
            files = ("memory.oom_control", "memory.failcnt", "memory.limit_in_bytes", "memory.max_usage_in_bytes")
        else:
            continue
        # Where the container doesn't see its own cgroup as the root, the mount still begins with it.
        for directory in (root / mount / path.lstrip("/"), root / mount):
            found = Cgroup(directory, *files)
            if found.read() is not None:
                return found
    return None


class MemoryWatch:
    """Compares with what was counted when it was made: a container of an earlier start has a cgroup of its own."""

    def __init__(self, cgroup: Cgroup | None) -> None:
        self._cgroup = cgroup
        self._before = None if cgroup is None else cgroup.read()

    def explain(self, cause: Cause) -> Cause:
        """The cause of this pod's end, or the kill behind it: a rank that was killed ends its engine in many ways."""
        now = None if self._cgroup is None else self._cgroup.read()
        if now is None or self._before is None:
            hint = "; when the container was at its memory limit, the kernel did it"
            return replace(cause, message=cause.message + hint) if cause.signal == "SIGKILL" else cause
        if now.kills <= self._before.kills:
            return cause
        why = _why(now, hit=now.hits > self._before.hits)
        message = f"{why}, and the kernel killed a process of the engine; {cause.message}"
        return replace(cause, reason=REASON, message=message)


def _why(now: Counters, *, hit: bool) -> str:
    limit = "" if now.limit is None else f" of {_size(now.limit)}"
    if hit or now.full:
        return f"the container was at its memory limit{limit} (raise spec.resources.limits.memory)"
    if limit and now.peak is None:
        return f"the container's limit{limit} or the node's memory was used up (raise spec.resources)"
    return "the node ran out of memory (raise spec.resources.requests.memory)"


def _pairs(text: str) -> list[tuple[str, int]]:
    words = [line.split() for line in text.splitlines()]
    return [(each[0], int(each[1])) for each in words if len(each) == 2 and each[1].isdigit()]  # noqa: PLR2004


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


def _size(count: int) -> str:
    value, unit = float(count), 0
    while value >= _KIB and unit < len(_UNITS) - 1:
        value, unit = value / _KIB, unit + 1
    return f"{value:.4g} {_UNITS[unit]}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
