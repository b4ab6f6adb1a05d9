"""Metrics of devices from a library that answers as NVML does, and the process that holds it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.unit.nvml_double import GIB, TWO, Nvml
from tests.unit.pods import ROOT, until
from trireme_runtime import processes
from trireme_runtime.accelerators import metrics, reader
from trireme_runtime.accelerators.monitor import STALE_SECONDS, Monitor
from trireme_runtime.accelerators.reading import Reading
from trireme_runtime.apart import Program
from trireme_runtime.preflight import driver
from trireme_runtime.preflight.devices import Device, DriverError, MissingLibraryError

HERE = Path("/dev/null")
no_driver = pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a driver")


def said(
    library: Nvml, variables: dict[str, str] | None = None, ranks: tuple[int, ...] = (2, 3), count: int = 1
) -> tuple[Reading, ...]:
    """The last of the first ``count`` times that a reader says something."""
    lines = reader.said(ranks, variables or {}, find=lambda: TWO, load=lambda: library, interval_seconds=0.01)
    *_, last = islice(lines, count)
    return tuple(Reading(**each) for each in last["readings"])


def test_each_rank_has_its_own_device() -> None:
    assert said(Nvml()) == (
        Reading(2, "GPU-a", utilization=0.37, memory_used=GIB, memory_total=80 * GIB, temperature=41),
        Reading(3, "GPU-b", utilization=0.38, memory_used=2 * GIB, memory_total=80 * GIB, temperature=42),
    )


def test_the_devices_are_those_that_the_engine_sees() -> None:
    assert [(each.rank, each.uuid) for each in said(Nvml(), {"CUDA_VISIBLE_DEVICES": "1"}, (0,))] == [(0, "GPU-b")]


def test_xid_errors_are_counted_for_the_device_that_had_them() -> None:
    library = Nvml()
    library.events += [(102, 31), (102, 79)]
    lines = reader.said((2, 3), {}, find=lambda: TWO, load=lambda: library, interval_seconds=0.01)
    read = ([Reading(**each) for each in line["readings"]] for line in islice(lines, 500))
    counted = ([(each.xids, each.last_xid) for each in readings] for readings in read)
    # How many of them come between two readings is the processors' affair.
    assert [(0, 0), (2, 79)] in counted
    assert library.registered == [101, 102]


@pytest.mark.parametrize("unknown", ["utilization", "memory", "temperature", "handle"])
def test_what_a_device_does_not_report_has_no_metric(unknown: str) -> None:
    text = "\n".join(metrics.lines(said(Nvml(unknown))))
    names = {"utilization": ["utilization_ratio"], "temperature": ["temperature_celsius"]}
    names |= {"memory": ["memory_used_bytes", "memory_total_bytes"]}
    gone = names.get(unknown, [name for several in names.values() for name in several])
    for name in (name for several in names.values() for name in several):
        assert (f"accelerator_{name}" in text) == (name not in gone)
    assert 'trireme_launcher_accelerator_xid_errors_total{rank="2",uuid="GPU-a"} 0' in text


@pytest.mark.parametrize("unknown", ["events", "register"])
def test_without_events_the_rest_is_read_and_nothing_spins(unknown: str) -> None:
    library = Nvml(unknown)
    began = time.monotonic()
    assert said(library, count=3)[0].temperature == 41
    assert time.monotonic() - began >= 0.02
    assert library.waits == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MissingLibraryError("no library"), ""),
        (DriverError("Driver/library version mismatch"), "Driver/library version mismatch"),
        (AttributeError("undefined symbol"), "undefined symbol"),
    ],
)
def test_no_driver_is_the_last_word(error: Exception, reason: str) -> None:
    def find() -> list[Device]:
        raise error

    assert list(reader.said((0,), {}, find=find)) == [{"over": reason}]
    assert list(reader.said((0,), {}, find=list)) == [{"over": ""}]
    assert metrics.lines(()) == []


def test_the_text_has_every_metric() -> None:
    reading = Reading(0, "GPU-a", 0.5, GIB, 2 * GIB, 41, xids=3, last_xid=31)
    lines = metrics.lines([reading])
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


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Readers:
    """Starts processes that have the double, and in the end one that has nothing to say."""

    def __init__(self) -> None:
        self.programs: list[Program] = []
        self.over = False
        self.fails = 0

    def start(self) -> Program:
        if self.fails:
            self.fails -= 1
            raise OSError("no more processes")
        self.programs.append(Program("tests.unit.nvml_double", *(["over"] if self.over else ["2", "3"])))
        return self.programs[-1]


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Readers]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    readers = Readers()
    yield readers
    readers.over, started = True, len(readers.programs)
    for program in list(readers.programs):
        processes.kill_apart(program.pid)
    if started:
        until(lambda: len(readers.programs) > started, "the listening thread has come to its end")
    for program in readers.programs:
        os.waitpid(program.pid, 0)


def monitor(readers: Readers) -> Callable[[], tuple[Reading, ...]]:
    found = Monitor(readers.start, pause_seconds=0.05)
    found.start(HERE)
    return lambda: found.readings(time.monotonic())


def test_what_another_process_reads_is_known_here(readers: Readers) -> None:
    now = monitor(readers)
    until(lambda: len(now()) == 2 and now()[1].xids == 2, "both devices are read")
    assert [(each.rank, each.uuid, each.temperature, each.last_xid) for each in now()] == [
        (2, "GPU-a", 41, 0),
        (3, "GPU-b", 42, 79),
    ]


def test_a_reader_that_dies_is_started_again_and_its_counts_stay(readers: Readers) -> None:
    readers.fails = 1
    now = monitor(readers)
    until(lambda: len(now()) == 2 and now()[1].xids == 2, "the errors are counted, though the first start failed")
    seen: list[tuple[int, int]] = []
    os.kill(readers.programs[0].pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not seen or seen[-1] != (4, 79):
        assert time.monotonic() < deadline, seen
        seen.append((now()[1].xids, now()[1].last_xid))
    assert set(seen) == {(2, 79), (4, 79)}
    assert seen == sorted(seen)


def test_a_driver_that_hangs_keeps_nobody_and_its_last_word_grows_stale(readers: Readers) -> None:
    found = Monitor(readers.start, pause_seconds=0.05)
    found.start(HERE)
    until(lambda: bool(found.readings(time.monotonic())), "the devices are read")
    os.kill(readers.programs[0].pid, signal.SIGSTOP)
    time.sleep(0.1)
    assert len(found.readings(time.monotonic())) == 2
    assert found.readings(time.monotonic() + STALE_SECONDS + 1) == ()


def test_without_a_driver_no_process_is_started(readers: Readers, tmp_path: Path) -> None:
    Monitor(readers.start).start(tmp_path / "nvidiactl")
    time.sleep(0.1)
    assert readers.programs == []


@no_driver
def test_without_the_library_the_reader_ends_at_once_and_stays_away(capfd: pytest.CaptureFixture[str]) -> None:
    made: list[Program] = []

    def start() -> Program:
        made.append(Program("trireme_runtime.accelerators.reader", "0"))
        return made[-1]

    Monitor(start, pause_seconds=0.01).start(HERE)
    until(lambda: bool(made), "the reader is started")
    assert os.waitpid(made[0].pid, 0)[1] == 0
    time.sleep(0.2)
    assert len(made) == 1
    assert "".join(capfd.readouterr()) == ""


_APART = """
import os, subprocess, sys, time
from trireme_runtime import processes, rank_watch
from trireme_runtime.apart import Program
program = Program("tests.unit.nvml_double", "2", "3")
said = program.said()
next(said)
engine = subprocess.Popen(["sleep", "60"])
below, watched = processes.descendants(), set(rank_watch.below())
began = time.monotonic()
ended = processes.kill_all()
quick = time.monotonic() - began < 2
print([below == watched == {engine.pid}, set(ended) == {engine.pid}, quick, "readings" in next(said)])
print(program.pid, flush=True)
time.sleep(60)
"""


def test_it_is_none_of_the_engines_processes_and_ends_with_the_launcher_even_when_it_hangs() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "runtime")])}
    launcher = subprocess.Popen([sys.executable, "-c", _APART], stdout=subprocess.PIPE, text=True, env=environment)
    assert launcher.stdout is not None
    with launcher:
        assert launcher.stdout.readline() == "[True, True, True, True]\n"
        pid = int(launcher.stdout.readline())
        # It can't notice anything by itself any more.
        os.kill(pid, signal.SIGSTOP)
        assert runs(pid)
        launcher.kill()
        until(lambda: not runs(pid), "it has ended with its parent", seconds=5)


@no_driver
def test_the_driver_is_asked_by_a_process_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Program] = []

    def start(module: str) -> Program:
        made.append(Program(module))
        return made[-1]

    monkeypatch.setattr(driver, "Program", start)
    with pytest.raises(MissingLibraryError, match=r"libnvidia-ml\.so\.1 is not in the container"):
        driver.ask()
    os.waitpid(made[0].pid, 0)


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        ({"devices": [{"uuid": "GPU-a", "free": 1, "total": 2, "trouble": "lost"}]}, [Device("GPU-a", 1, 2, "lost")]),
        ({"broken": "version mismatch"}, "version mismatch"),
        (None, "ended without an answer"),
        (OSError("no more processes"), "cannot be started: no more processes"),
    ],
)
def test_what_the_driver_answers(answer: Any, want: list[Device] | str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answers:
        def __init__(self, _: str) -> None:
            if isinstance(answer, Exception):
                raise answer

        def answer(self, _: float) -> Any:
            return answer

    monkeypatch.setattr(driver, "Program", Answers)
    if isinstance(want, list):
        assert driver.ask() == want
    else:
        with pytest.raises(DriverError, match=want):
            driver.ask()


def test_a_driver_that_does_not_answer_in_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made: list[Program] = []

    def start(_: str) -> Program:
        made.append(Program("tests.unit.nvml_double", "hang"))
        return made[-1]

    monkeypatch.setattr(driver, "Program", start)
    with pytest.raises(DriverError, match=r"no answer within 0\.2 s"):
        driver.ask(0.2)
    assert os.waitpid(made[0].pid, 0)[1] == signal.SIGKILL
