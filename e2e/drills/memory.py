"""A container runs out of memory: ``python -m e2e.drills.memory PID`` takes, in the container of PID, all that is left.

It runs until it is ended, by the kernel or by who started it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_PIECE_BYTES = 4 << 20
_PAUSE_SECONDS = 0.01
_FIRST, _LAST = "1000", "0"


def prefer(victim: int, others: Iterable[int]) -> None:
    """Let the kernel end ``victim`` before the other processes of its container."""
    for pid in others:
        # What was raised may be lowered again; where it may not, the victim's size decides.
        with suppress(OSError):
            Path(f"/proc/{pid}/oom_score_adj").write_text(_LAST)
    Path(f"/proc/{victim}/oom_score_adj").write_text(_FIRST)


def group_of(cgroups: str, root: Path = Path("/sys/fs/cgroup")) -> Path:
    """The directory that limits memory, from the text of ``/proc/PID/cgroup``: v1's own hierarchy, else v2's.

    Raises:
        ValueError: there is none.

    """
    lines = [line.split(":", 2) for line in cgroups.splitlines() if line.count(":") >= 2]  # noqa: PLR2004
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return root / "memory" / path.lstrip("/")
    for number, _, path in lines:
        if number == "0":
            return root / path.lstrip("/")
    raise ValueError(f"no cgroup that limits memory in {cgroups!r}")


def take_all(pid: int) -> None:
    """Join the container's memory and fill it."""
    group = group_of(Path(f"/proc/{pid}/cgroup").read_text())
    (group / "cgroup.procs").write_text(str(Path("/proc/self").resolve().name))
    held = []
    while True:
        held.append(bytearray(b"x") * _PIECE_BYTES)
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    take_all(int(sys.argv[1]))
