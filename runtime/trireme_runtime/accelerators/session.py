"""The driver's library (NVML) as it is asked again and again: each device's use, and its XID errors when they come.

Source: nvml.h of CUDA 13 (nvmlUtilization_t, nvmlEventData_t, return values) and the NVML API reference: waiting for
XID events needs no privilege.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from typing import Any

from trireme_runtime.accelerators.reading import Reading
from trireme_runtime.log import say
from trireme_runtime.preflight import devices
from trireme_runtime.preflight.devices import Device, DriverError

_GPU_TEMPERATURE = 0
_XID_EVENT = 8
_PERCENT = 100


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


class Session:
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
