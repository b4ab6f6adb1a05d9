"""A library that answers as NVML does, by the pointers that it is given, and a reader's process that has it."""

# ruff: noqa: N802, ARG002  (names and arguments are NVML's)

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from trireme_runtime.accelerators import reader
from trireme_runtime.preflight.devices import Device

GIB = 1 << 30
TWO = [Device("GPU-a", free=70 * GIB, total=80 * GIB), Device("GPU-b", free=80 * GIB, total=80 * GIB)]
NOT_SUPPORTED, TIMEOUT = 3, 10


class Nvml:
    """Two devices, whose handles are 101 and 102. ``fails`` has the functions that a device does not know."""

    def __init__(self, *fails: str) -> None:
        self._fails = fails
        self.events: list[tuple[int, int]] = []
        self.registered: list[int] = []
        self.waits = 0

    def _code(self, name: str) -> int:
        return NOT_SUPPORTED if name in self._fails else 0

    def nvmlInit_v2(self) -> int:
        return self._code("init")

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:
        handle._obj.value = {b"GPU-a": 101, b"GPU-b": 102}[uuid]
        return self._code("handle")

    def nvmlDeviceGetUtilizationRates(self, handle: Any, used: Any) -> int:
        used._obj.gpu = handle.value - 64
        return self._code("utilization")

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:
        memory._obj.total, memory._obj.used = 80 * GIB, (handle.value - 100) * GIB
        return self._code("memory")

    def nvmlDeviceGetTemperature(self, handle: Any, sensor: Any, degrees: Any) -> int:
        assert sensor.value == 0
        degrees._obj.value = handle.value - 60
        return self._code("temperature")

    def nvmlEventSetCreate(self, events: Any) -> int:
        events._obj.value = 1
        return self._code("events")

    def nvmlDeviceRegisterEvents(self, handle: Any, kind: Any, events: Any) -> int:
        assert (kind.value, events.value) == (8, 1)
        self.registered.append(handle.value)
        return self._code("register")

    def nvmlEventSetWait_v2(self, events: Any, event: Any, milliseconds: Any) -> int:
        self.waits += 1
        if not self.events:
            time.sleep(milliseconds.value / 1000)
            return TIMEOUT
        event._obj.device, event._obj.data = self.events.pop(0)
        event._obj.type = 8
        return 0


def main(arguments: Sequence[str]) -> None:
    """``hang``: say nothing; ``over``: there is nothing to read; else the ranks. The second device has two errors."""
    if arguments[0] == "hang":
        time.sleep(60)
    elif arguments[0] == "over":
        reader.tell(iter([{"over": ""}]))
    else:
        library = Nvml()
        library.events += [(102, 31), (102, 79)]
        ranks = [int(rank) for rank in arguments]
        os.write(1, b"what a library may print\n")
        lines = reader.said(ranks, {}, find=lambda: TWO, load=lambda: library, interval_seconds=0.02)
        reader.tell(lines)
