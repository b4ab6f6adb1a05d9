"""What there is to run on: devices as the driver counts them, or none in a rehearsal on processors."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trireme_runtime.preflight import devices

REHEARSED_DEVICES = 2
_MEMORY_SLACK = 512 << 20
"""The driver itself keeps some of a device for a moment."""
_CLIENT_PROCESSORS = 4
"""For each device."""


@dataclass(frozen=True)
class Machine:
    """``rehearsal``: ranks run on processors, tiny models stand for large ones, and no figure counts.

    ``first`` is the number of the first device that may be used, ``devices`` how many may.
    """

    folder: Path
    rehearsal: bool
    devices: int
    device_bytes: int
    first: int = 0
    client_processors: frozenset[int] = frozenset()
    """For clients that measure; nothing else runs there."""

    @property
    def accelerator(self) -> str:
        return "cpu" if self.rehearsal else "nvidia.com/gpu"

    def used(self) -> list[int]:
        """Bytes in use on each device, in the driver's order; empty in a rehearsal."""
        own = slice(self.first, self.first + self.devices)
        return [] if self.rehearsal else [each.total - each.free for each in devices.read()[own]]

    def seconds_until_free(self, before: list[int], *, limit: float) -> float | None:
        """How long until no device has more memory in use than before; None when it is not within the limit."""
        began = time.monotonic()
        while any(now > then + _MEMORY_SLACK for now, then in zip(self.used(), before, strict=True)):
            if time.monotonic() - began > limit:
                return None
            time.sleep(0.1)
        return time.monotonic() - began


def find(folder: Path, *, rehearsal: bool, first: int = 0, count: int | None = None) -> Machine:
    """What this machine has, or ``count`` devices from ``first`` on; whoever else runs keeps to the others.

    Some processors become the clients': from now on this process and what it starts keep to the other ones.
    Raises DriverError without a working driver, unless it is a rehearsal.
    """
    if rehearsal:
        return Machine(folder, rehearsal=True, devices=REHEARSED_DEVICES, device_bytes=0)
    every = devices.read()
    found = every[first:] if count is None else every[first : first + count]
    clients = _reserve(len(every))
    own = frozenset(clients[first * _CLIENT_PROCESSORS : (first + len(found)) * _CLIENT_PROCESSORS])
    return Machine(
        folder,
        rehearsal=False,
        devices=len(found),
        device_bytes=min(each.total for each in found),
        first=first,
        client_processors=own,
    )


def _reserve(count: int) -> list[int]:
    """The first processors, some for each device; none where the others would be too few."""
    every = sorted(os.sched_getaffinity(0))
    clients, rest = every[: count * _CLIENT_PROCESSORS], every[count * _CLIENT_PROCESSORS :]
    if len(rest) < len(clients):
        return []
    os.sched_setaffinity(0, rest)
    return clients


def described(machine: Machine) -> dict[str, Any]:
    """The machine and the versions of what ran, for the record. Nothing is opened on a device for it."""
    argv = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    asked = None if machine.rehearsal else subprocess.run(argv, capture_output=True, text=True, check=False)
    return {
        "rehearsal": machine.rehearsal,
        "devices": [] if asked is None else asked.stdout.strip().splitlines(),
        "device_bytes": machine.device_bytes,
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "vllm": _version("vllm"),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
