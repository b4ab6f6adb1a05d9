"""The launcher's side: it keeps a reader running and knows what that said last.

A driver that hangs keeps the reader, and the thread that listens to it, and nothing else: what was said last is dropped
when it is too old. A reader that dies is started again, and the errors that it had counted stay counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trireme_runtime.accelerators.reading import Reading
from trireme_runtime.apart import Program
from trireme_runtime.log import say

STALE_SECONDS = 30.0
_DRIVER = Path("/dev/nvidiactl")
"""Through which both NVML and CUDA reach the driver: where it is missing there is nothing to start a process for."""
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 320.0
_Place = tuple[int, str]
"""Rank and UUID, the labels of a series: its counter must not go back."""


class Monitor:
    """Of the devices of one pod's ranks; ``start_reader`` raises OSError."""

    def __init__(self, start_reader: Callable[[], Program], *, pause_seconds: float = _PAUSE_SECONDS) -> None:
        self._start_reader = start_reader
        self._first_pause = pause_seconds
        self._read_at = 0.0
        self._readings: tuple[Reading, ...] = ()
        self._totals: dict[_Place, Reading] = {}

    def start(self, driver: Path = _DRIVER) -> None:
        """Begin to listen, without waiting for anything; nothing is started where there is no ``driver``."""
        if driver.exists():
            threading.Thread(target=self._run, name="accelerators", daemon=True).start()

    def readings(self, now: float) -> tuple[Reading, ...]:
        """What was read last, unless that is too long ago; ``now`` as of ``time.monotonic``."""
        return self._readings if now - self._read_at <= STALE_SECONDS else ()

    def _run(self) -> None:
        pause = self._first_pause
        while True:
            began = time.monotonic()
            try:
                if self._listen(self._start_reader().said()):
                    return
                reason = "it has ended"
            except OSError as error:
                reason = str(error)
            if time.monotonic() - began > _LONGEST_PAUSE_SECONDS:
                pause = self._first_pause
            say("The process that reads the accelerators is started again", reason=reason, afterSeconds=int(pause))
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _listen(self, said: Iterable[Mapping[str, Any]]) -> bool:
        """Until the reader has ended; True when there is nothing to read, now or later."""
        before, over = dict(self._totals), False
        for line in said:
            if "over" in line:
                over = True
                if line["over"]:
                    say("No metrics of accelerators", reason=line["over"])
                continue
            self._readings = tuple(_since(before, Reading(**each)) for each in line["readings"])
            self._read_at = time.monotonic()
            self._totals |= {(each.rank, each.uuid): each for each in self._readings}
        return over


def _since(before: Mapping[_Place, Reading], reading: Reading) -> Reading:
    """With what earlier readers counted."""
    counted = before.get((reading.rank, reading.uuid))
    if counted is None:
        return reading
    return replace(reading, xids=counted.xids + reading.xids, last_xid=reading.last_xid or counted.last_xid)


def of_pod(ranks: Sequence[int]) -> Monitor:
    """The monitor of this pod's ranks, as its own environment shows devices to them."""
    return Monitor(lambda: Program("trireme_runtime.accelerators.reader", *(str(rank) for rank in ranks)))
