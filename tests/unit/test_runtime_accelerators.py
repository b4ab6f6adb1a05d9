"""Metrics of devices from a library that answers as NVML does, by the pointers that it is given."""

# ruff: noqa: N802, ARG002  (names and arguments are NVML's)

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.pods import until
from trireme_runtime import accelerators
from trireme_runtime.accelerators import Monitor, Reading
from trireme_runtime.preflight.devices import Device, DriverError, MissingLibraryError

GIB = 1 << 30
TWO = [Device("GPU-a", free=70 * GIB, total=80 * GIB), Device("GPU-b", free=80 * GIB, total=80 * GIB)]
NOT_SUPPORTED, TIMEOUT = 3, 10


class Nvml:
    """Two devices, whose handles are 101 and 102. ``fails`` has the functions that a device does not know."""

    def __init__(self, *fails: str) -> None:
        self._fails = fails
        self.events: list[tuple[int, int]] = []
        self.registered: list[int] = []
        self.hangs = threading.Event()
        self.over = threading.Event()
        self.waits = 0
        _made.append(self)

    def _code(self, name: str) -> int:
        return NOT_SUPPORTED if name in self._fails else 0

    def nvmlInit_v2(self) -> int:
        return self._code("init")

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:
        handle._obj.value = {b"GPU-a": 101, b"GPU-b": 102}[uuid]
        return self._code("handle")

    def nvmlDeviceGetUtilizationRates(self, handle: Any, used: Any) -> int:
        if self.over.is_set():
            threading.Event().wait()  # the thread has no end of its own, and goes with the process
        used._obj.gpu = handle.value - 64
        return self._code("utilization")

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:
        while self.hangs.is_set():
            time.sleep(0.01)
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


_made: list[Nvml] = []


@pytest.fixture(autouse=True)
def _no_thread_outlives_its_test() -> Iterator[None]:
    yield
    while _made:
        library = _made.pop()
        library.over.set()
        library.hangs.clear()


def monitor(library: Nvml, variables: dict[str, str] | None = None, ranks: tuple[int, ...] = (2, 3)) -> Monitor:
    found = Monitor(ranks, variables or {}, find=lambda: TWO, load=lambda: library, interval_seconds=0.02)
    found.start()
    return found


def now(found: Monitor) -> tuple[Reading, ...]:
    return found.readings(time.monotonic())


def test_each_rank_has_its_own_device() -> None:
    found = monitor(Nvml())
    until(lambda: len(now(found)) == 2, "both devices are read")
    assert now(found) == (
        Reading(2, "GPU-a", utilization=0.37, memory_used=GIB, memory_total=80 * GIB, temperature=41),
        Reading(3, "GPU-b", utilization=0.38, memory_used=2 * GIB, memory_total=80 * GIB, temperature=42),
    )


def test_the_devices_are_those_that_the_engine_sees() -> None:
    found = monitor(Nvml(), {"CUDA_VISIBLE_DEVICES": "1"}, ranks=(0,))
    until(lambda: bool(now(found)), "the device is read")
    assert [(each.rank, each.uuid) for each in now(found)] == [(0, "GPU-b")]


def test_xid_errors_are_counted_for_the_device_that_had_them() -> None:
    library = Nvml()
    found = monitor(library)
    library.events += [(102, 31), (102, 79)]
    until(lambda: len(now(found)) == 2 and now(found)[1].xids == 2, "both errors are counted")
    assert [(each.xids, each.last_xid) for each in now(found)] == [(0, 0), (2, 79)]
    assert library.registered == [101, 102]


@pytest.mark.parametrize("unknown", ["utilization", "memory", "temperature", "handle"])
def test_what_a_device_does_not_report_has_no_metric(unknown: str) -> None:
    found = monitor(Nvml(unknown))
    until(lambda: len(now(found)) == 2, "both devices are read")
    text = "\n".join(accelerators.lines(now(found)))
    names = {"utilization": ["utilization_ratio"], "temperature": ["temperature_celsius"]}
    names |= {"memory": ["memory_used_bytes", "memory_total_bytes"]}
    gone = names.get(unknown, [name for several in names.values() for name in several])
    for name in (name for several in names.values() for name in several):
        assert (f"accelerator_{name}" in text) == (name not in gone)
    assert 'trireme_launcher_accelerator_xid_errors_total{rank="2",uuid="GPU-a"} 0' in text


@pytest.mark.parametrize("unknown", ["events", "register"])
def test_without_events_the_rest_is_read_and_nothing_spins(unknown: str) -> None:
    library = Nvml(unknown)
    found = monitor(library)
    until(lambda: len(now(found)) == 2, "both devices are read")
    assert library.waits == 0
    assert now(found)[0].temperature == 41


def test_a_driver_that_hangs_keeps_nobody_and_its_last_word_grows_stale() -> None:
    library = Nvml()
    found = monitor(library)
    until(lambda: len(now(found)) == 2, "both devices are read")
    library.hangs.set()
    time.sleep(0.1)
    assert len(now(found)) == 2
    assert found.readings(time.monotonic() + accelerators.STALE_SECONDS + 1) == ()
    library.hangs.clear()


@pytest.mark.parametrize("error", [MissingLibraryError("no library"), DriverError("Driver/library version mismatch")])
def test_no_driver_no_metrics(error: Exception, capfd: pytest.CaptureFixture[str]) -> None:
    asked = threading.Event()

    def find() -> list[Device]:
        asked.set()
        raise error

    found = Monitor((0,), {}, find=find)
    found.start()
    assert asked.wait(5)
    told = isinstance(error, DriverError) and not isinstance(error, MissingLibraryError)
    said = ""
    deadline = time.monotonic() + (5 if told else 0.1)
    while time.monotonic() < deadline and not said:
        said += "".join(capfd.readouterr())
        time.sleep(0.01)
    assert ("version mismatch" in said) == told
    assert now(found) == ()
    assert accelerators.lines(()) == []


def test_the_text_has_every_metric() -> None:
    reading = Reading(0, "GPU-a", 0.5, GIB, 2 * GIB, 41, xids=3, last_xid=31)
    lines = accelerators.lines([reading])
    place = '{rank="0",uuid="GPU-a"}'
    prefix = "trireme_launcher_accelerator_"
    assert [line for line in lines if not line.startswith("#")] == [
        f"{prefix}utilization_ratio{place} 0.5",
        f"{prefix}memory_used_bytes{place} {GIB}",
        f"{prefix}memory_total_bytes{place} {2 * GIB}",
        f"{prefix}temperature_celsius{place} 41",
        f"{prefix}last_xid{place} 31",
        f"{prefix}xid_errors_total{place} 3",
    ]
    assert f"# TYPE {prefix}xid_errors_total counter" in lines
