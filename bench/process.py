"""What the kernel knows about a process."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_POLL_SECONDS = 0.01


def processor_seconds(pid: int) -> float:
    """User and system time since its start, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_SECONDS


def resident_mb(pid: int) -> float:
    """Resident memory in units of 10^6 bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024 / 1e6


async def quiet(pid: int, *, for_seconds: float = 0.15, limit_seconds: float = 600) -> float:
    """Wait until it has used next to no processor time for a while; returns the moment when that began.

    Raises:
        TimeoutError: it is still busy after the limit.

    """
    deadline = time.monotonic() + limit_seconds
    used, since = processor_seconds(pid), time.monotonic()
    while time.monotonic() - since < for_seconds:
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} is still busy after {limit_seconds:.0f} s")
        await asyncio.sleep(_POLL_SECONDS)
        if (now := processor_seconds(pid)) - used > _TICK_SECONDS:
            used, since = now, time.monotonic()
    return since
