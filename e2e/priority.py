"""Which programs come first when processors are short.

Niceness alone says that on few machines: where the kernel groups processes by session (autogroup, sched(7)), it counts
among the processes of one session only, and a session of fifty counts for as much as one of a single process.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def words(levels: int) -> tuple[str, ...]:
    """What runs a command so many levels before others; where that is not allowed, nice says so and goes on."""
    return ("nice", f"--adjustment=-{levels}")


def favour_session(pid: int, levels: int) -> None:
    """The same for the session that a process leads. Nothing happens where sessions are no groups, or it may not."""
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(f"-{levels}")
