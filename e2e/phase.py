"""One program of the gate: how it is started, shown, limited and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from e2e import priority

LATE = 124
"""The status of a phase that took longer than its limit, as of timeout(1)."""
ENDING_SECONDS = 30
_LAST_WORDS_SECONDS = 5
_HEARS_INTERRUPTS = ("env", "--default-signal=INT")
"""What a shell starts in the background ignores SIGINT, and so does every program below it. (GNU coreutils 8.31.)"""
_FAVOUR_LEVELS = 5
"""Three times the usual share of the processors."""


@dataclass(frozen=True)
class Phase:
    """One program of the gate."""

    name: str
    argv: tuple[str, ...]
    limit_seconds: int
    """After that long it is ended and has failed: a hang must not hang the gate."""
    needs: tuple[str, ...] = ()
    """Left out when one of them was not good."""
    after: tuple[str, ...] = ()
    """Waits until these have ended, however they did."""
    tests: tuple[str, ...] = ()
    """Result files in the gate's folder that it writes."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to this process's own."""
    lane: str = ""
    """Phases of one lane run one after the other. What is said beside the first lane is shown when it is done."""
    favoured: bool = False
    """Before other phases where it is allowed, because it counts seconds."""
    always: bool = False
    """Runs whatever happened before, when nothing else runs any more."""

    @property
    def beside(self) -> bool:
        return bool(self.lane)


class Running:
    """A phase's program, started: its output is kept in ``log`` and shown live, or, for one beside another, at its end.

    It runs in a session of its own, so that all of it can be ended.
    """

    def __init__(self, phase: Phase, log: Path, *, folder: Path) -> None:
        self.phase = phase
        self._log = log
        self._started = time.monotonic()
        self._kept = log.open("w")
        self._process = subprocess.Popen(
            [*(priority.words(_FAVOUR_LEVELS) if phase.favoured else ()), *_HEARS_INTERRUPTS, *phase.argv],
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **phase.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # besides, its share of the processors is its own
        )
        if phase.favoured:
            priority.favour_session(self._process.pid, _FAVOUR_LEVELS)
        # A thread reads, so that a stray child that keeps the pipe open cannot keep the gate waiting.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def is_over(self) -> bool:
        """Whether it has ended, or should have."""
        return self._process.poll() is not None or self._left() <= 0

    def _left(self) -> float:
        return self._started + self.phase.limit_seconds - time.monotonic()

    def finish(self) -> tuple[int, float]:
        """Wait; returns its status (124 after its limit) and the seconds it took.

        After the limit it gets SIGINT and then, if that does not help, SIGKILL.
        """
        late = ""
        try:
            status = self._process.wait(max(0.0, self._left()))
        except subprocess.TimeoutExpired:
            self._end()
            status, late = LATE, f"ended after {self.phase.limit_seconds} s, its limit\n"
        seconds = time.monotonic() - self._started
        self._reader.join(_LAST_WORDS_SECONDS)
        self._kept.write(late)
        self._kept.close()
        sys.stdout.write(self._log.read_text(errors="replace") if self.phase.beside else late)
        sys.stdout.flush()
        return status, seconds

    def stop(self) -> None:
        """End it before its time; does nothing to one that has ended."""
        self._end()
        self._kept.close()

    def _read(self) -> None:
        with cast("IO[str]", self._process.stdout) as output:
            for line in output:
                if self._kept.closed:
                    return
                self._kept.write(line)
                if not self.phase.beside:
                    sys.stdout.write(line)
                    sys.stdout.flush()

    def _end(self) -> None:
        for number in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(ENDING_SECONDS)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue
