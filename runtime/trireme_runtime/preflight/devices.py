"""The NVIDIA devices of this container, asked of the driver's library (NVML) where it is there.

NVML knows nothing of ``CUDA_VISIBLE_DEVICES``, which hides devices from the engine: it is obeyed here.
Source: nvml.h of CUDA 13, and the NVML API reference (return values, nvmlMemory_t, nvmlDeviceGetRemappedRows).
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LIBRARY = "libnvidia-ml.so.1"
_LOST = 15
_UNCORRECTED = 1
_VOLATILE = 0
_TEXT_BYTES = 96


class DriverError(Exception):
    """The driver does not work; the message says why."""


class MissingLibraryError(DriverError):
    """The driver's library is not in the container."""


@dataclass(frozen=True)
class Device:
    """One device: memory in bytes; ``trouble`` says what is wrong with it, empty when nothing is known."""

    uuid: str
    free: int = 0
    total: int = 0
    trouble: str = ""


class Memory(ctypes.Structure):
    """nvmlMemory_t, in bytes."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def read(library: str = LIBRARY) -> list[Device]:
    """All devices that this container has, in the driver's order; raises DriverError and MissingLibraryError."""
    try:
        nvml = ctypes.CDLL(library)
    except OSError as error:
        raise MissingLibraryError(f"the driver's library {library} is not in the container ({error})") from None
    if code := nvml.nvmlInit_v2():
        raise DriverError(f"the NVIDIA driver does not work: {_text(nvml, code)}")
    try:
        count = ctypes.c_uint()
        if code := nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            raise DriverError(f"the NVIDIA driver does not count its devices: {_text(nvml, code)}")
        return [_device(nvml, index) for index in range(count.value)]
    finally:
        nvml.nvmlShutdown()


def visible(devices: Sequence[Device], variables: Mapping[str, str]) -> list[Device]:
    """Those that ``CUDA_VISIBLE_DEVICES`` leaves; as in CUDA, the first name that is none ends the list."""
    names = variables.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return list(devices)
    found: list[Device] = []
    for name in names.split(","):
        device = _named(devices, name.strip())
        if device is None or device in found:
            break
        found.append(device)
    return found


def _named(devices: Sequence[Device], name: str) -> Device | None:
    if name.isascii() and name.isdigit():
        return devices[int(name)] if int(name) < len(devices) else None
    return next((device for device in devices if name and device.uuid.startswith(name)), None)


def _device(nvml: Any, index: int) -> Device:
    handle = ctypes.c_void_p()
    if code := nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)):
        return Device(f"device {index}", trouble=_text(nvml, code))
    uuid = ctypes.create_string_buffer(_TEXT_BYTES)
    if code := nvml.nvmlDeviceGetUUID(handle, uuid, ctypes.c_uint(_TEXT_BYTES)):
        return Device(f"device {index}", trouble=_text(nvml, code))
    name = uuid.value.decode(errors="replace")
    memory = Memory()
    if code := nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)):
        return Device(name, trouble=_text(nvml, code))
    return Device(name, free=memory.free, total=memory.total, trouble=_trouble(nvml, handle))


def _trouble(nvml: Any, handle: ctypes.c_void_p) -> str:
    """What the device itself reports; a question that it does not know is no trouble."""
    errors = ctypes.c_ulonglong()
    code = nvml.nvmlDeviceGetTotalEccErrors(
        handle, ctypes.c_int(_UNCORRECTED), ctypes.c_int(_VOLATILE), ctypes.byref(errors)
    )
    if code == _LOST:
        return _text(nvml, code)
    if code == 0 and errors.value:
        return f"{errors.value} uncorrected memory errors since the driver was loaded: the device needs a reset"
    rows = [ctypes.c_uint() for _ in range(4)]
    if nvml.nvmlDeviceGetRemappedRows(handle, *(ctypes.byref(row) for row in rows)) == 0:
        _, _, pending, failed = rows
        if failed.value:
            return "a broken row of its memory could not be remapped: replace the device"
        if pending.value:
            return "a broken row of its memory is not remapped yet: the device needs a reset"
    return ""


def _text(nvml: Any, code: int) -> str:
    nvml.nvmlErrorString.restype = ctypes.c_char_p
    return (nvml.nvmlErrorString(code) or b"").decode(errors="replace") or f"error {code}"
