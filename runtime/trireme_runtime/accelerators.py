"""What the driver's library (NVML) tells of the devices of this pod's ranks, read in a thread of its own.

A driver that hangs keeps this thread and nothing else: what it said last is dropped when it is too old. Without the
library there is nothing to tell.

Source: nvml.h of CUDA 13 (nvmlUtilization_t, nvmlEventData_t, return values) and the NVML API reference: waiting for
XID events needs no privilege.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trireme_runtime.log import say
from trireme_runtime.metrics import head, labels
from trireme_runtime.preflight import devices
from trireme_runtime.preflight.devices import Device, DriverError, MissingLibraryError

INTERVAL_SECONDS = 5.0
STALE_SECONDS = 30.0
_PREFIX = "trireme_launcher_accelerator_"
_GPU_TEMPERATURE = 0
_XID_EVENT = 8
_PERCENT = 100


@dataclass(frozen=True)
class Reading:
    """One rank's device now. None is what the driver does not report.

    utilization: share of the last sample period in which something ran, 0 to 1. Memory in bytes, temperature in degrees
    Celsius. xids: XID errors since the launcher started; last_xid: the number of the last one, 0 without one.
    """

    rank: int
    uuid: str
    utilization: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    temperature: int | None = None
    xids: int = 0
    last_xid: int = 0


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Event(ctypes.Structure):
    _fields_ = (
        ("device", ctypes.c_void_p),
        ("type", ctypes.c_ulonglong),
        ("data", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class Monitor:
    """Reads the devices of ``ranks`` (their numbers in the group, in the order of the pod's visible devices)."""

    def __init__(
        self,
        ranks: Sequence[int],
        variables: Mapping[str, str],
        *,
        find: Callable[[], list[Device]] = devices.read,
        load: Callable[[], Any] = lambda: ctypes.CDLL(devices.LIBRARY),
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._ranks = ranks
        self._variables = variables
        self._find = find
        self._load = load
        self._interval = interval_seconds
        self._read_at = 0.0
        self._readings: tuple[Reading, ...] = ()

    def start(self) -> None:
        """Begin to read, without waiting for anything."""
        threading.Thread(target=self._run, name="accelerators", daemon=True).start()

    def readings(self, now: float) -> tuple[Reading, ...]:
        """What was read last, unless that is too long ago; ``now`` as of ``time.monotonic``."""
        return self._readings if now - self._read_at <= STALE_SECONDS else ()

    def _run(self) -> None:
        try:
            found = devices.visible(self._find(), self._variables)[: len(self._ranks)]
            if not found:
                return
            session = _Session(self._load(), found)
        except MissingLibraryError:
            return
        except (DriverError, OSError, AttributeError) as error:
            say("No metrics of accelerators", reason=str(error))
            return
        while True:
            self._readings = tuple(session.read(rank, index) for index, rank in enumerate(self._ranks[: len(found)]))
            self._read_at = time.monotonic()
            session.wait(self._interval)


class _Session:
    """The library, initialised once: a handle for each device, and one set of their XID events."""

    def __init__(self, nvml: Any, found: Sequence[Device]) -> None:
        """Raises DriverError when the driver does not work."""
        if code := nvml.nvmlInit_v2():
            raise DriverError(f"the NVIDIA driver does not work: error {code}")
        self._nvml = nvml
        self._uuids = [device.uuid for device in found]
        self._handles = [self._handle(uuid) for uuid in self._uuids]
        self._xids = [0] * len(found)
        self._last = [0] * len(found)
        self._events = self._register()

    def _handle(self, uuid: str) -> Any:
        handle = ctypes.c_void_p()
        code = self._nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle))
        return None if code else handle

    def _register(self) -> Any:
        """The set of events to wait for; None where the driver has none."""
        events = ctypes.c_void_p()
        if self._nvml.nvmlEventSetCreate(ctypes.byref(events)):
            return None
        known = [handle for handle in self._handles if handle is not None]
        kind = ctypes.c_ulonglong(_XID_EVENT)
        codes = [self._nvml.nvmlDeviceRegisterEvents(handle, kind, events) for handle in known]
        return events if 0 in codes else None

    def wait(self, seconds: float) -> None:
        """Until the time is over, and count the XID errors that come meanwhile."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            event = _Event()
            milliseconds = ctypes.c_uint(max(1, int(left * 1000)))
            if self._events is None or self._nvml.nvmlEventSetWait_v2(self._events, ctypes.byref(event), milliseconds):
                # No event within that time, or a set that can't be waited for any more.
                time.sleep(max(0.0, deadline - time.monotonic()))
            elif event.type == _XID_EVENT:
                self._count(event)

    def _count(self, event: _Event) -> None:
        for index, handle in enumerate(self._handles):
            if handle is not None and handle.value == event.device:
                self._xids[index] += 1
                self._last[index] = event.data
                say("XID error", device=self._uuids[index], xid=event.data)

    def read(self, rank: int, index: int) -> Reading:
        """One device; what it does not report stays None."""
        handle, uuid = self._handles[index], self._uuids[index]
        if handle is None:
            return Reading(rank, uuid)
        nvml = self._nvml
        used, memory, degrees = _Utilization(), devices.Memory(), ctypes.c_uint()
        known = nvml.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(used)) == 0
        has_memory = nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == 0
        has_degrees = nvml.nvmlDeviceGetTemperature(handle, ctypes.c_uint(_GPU_TEMPERATURE), ctypes.byref(degrees)) == 0
        return Reading(
            rank,
            uuid,
            utilization=used.gpu / _PERCENT if known else None,
            memory_used=memory.used if has_memory else None,
            memory_total=memory.total if has_memory else None,
            temperature=degrees.value if has_degrees else None,
            xids=self._xids[index],
            last_xid=self._last[index],
        )


_GAUGES: tuple[tuple[str, str, Callable[[Reading], float | None]], ...] = (
    ("utilization_ratio", "Share of the time in which something ran on a rank's device.", lambda it: it.utilization),
    ("memory_used_bytes", "Memory of a rank's device that is in use, by whomever.", lambda it: it.memory_used),
    ("memory_total_bytes", "Memory of a rank's device.", lambda it: it.memory_total),
    ("temperature_celsius", "Temperature of a rank's device.", lambda it: it.temperature),
    ("last_xid", "Number of the last XID error of a rank's device, 0 without one.", lambda it: it.last_xid),
)


def lines(readings: Sequence[Reading]) -> list[str]:
    """All of it as Prometheus text."""
    found: list[str] = []
    if not readings:
        return found
    for name, text, of in _GAUGES:
        values = [(each, of(each)) for each in readings]
        told = [f"{_PREFIX}{name}{_labels(each)} {value}" for each, value in values if value is not None]
        found += [*head(f"{_PREFIX}{name}", text), *told] if told else []
    name = f"{_PREFIX}xid_errors_total"
    found += [f"# HELP {name} XID errors of a rank's device since the launcher started.", f"# TYPE {name} counter"]
    return found + [f"{name}{_labels(each)} {each.xids}" for each in readings]


def _labels(reading: Reading) -> str:
    return labels({"rank": str(reading.rank), "uuid": reading.uuid})


def of_pod(ranks: Sequence[int]) -> Monitor:
    """The monitor of this pod's ranks, as its own environment shows devices to them."""
    return Monitor(ranks, os.environ)
