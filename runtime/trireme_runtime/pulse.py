"""Whether somebody who is asked once a second is still there, judged by time and by proof."""

from __future__ import annotations

import threading

SILENT_SECONDS = 3.0
"""So long may answers be missing before silence counts: two lost answers are no failure, three are."""


class Pulse:
    """The answers of one peer; one thread feeds it, others read it. All times are seconds on the monotonic clock.

    ``beat`` is a good answer, ``miss`` none (only time will tell), ``refuse`` a proof that it does not serve.
    """

    def __init__(self, name: str, *, silent_seconds: float = SILENT_SECONDS) -> None:
        self._name = name
        self._silent_seconds = silent_seconds
        self._lock = threading.Lock()
        self._last_beat: float | None = None
        self._steady_since: float | None = None
        self._refusals = 0
        self._why = "not asked yet"

    def beat(self, now: float) -> None:
        with self._lock:
            if self._refusals or self._last_beat is None or now - self._last_beat > self._silent_seconds:
                self._steady_since = now
            self._last_beat = now
            self._refusals = 0
            self._why = ""

    def miss(self, why: str) -> None:
        with self._lock:
            self._why = why

    def refuse(self, why: str) -> None:
        with self._lock:
            self._refusals += 1
            self._why = why

    @property
    def refusals(self) -> int:
        """How many proofs in a row say that the peer does not serve."""
        with self._lock:
            return self._refusals

    @property
    def steady_since(self) -> float | None:
        """The first good answer since it was last refused or silent; None before the first of all."""
        with self._lock:
            return self._steady_since

    def silent_for(self, now: float) -> float:
        """Seconds since the last good answer; infinite before the first."""
        with self._lock:
            return float("inf") if self._last_beat is None else now - self._last_beat

    def trouble(self, now: float) -> str:
        """Why the peer does not count, or an empty text."""
        with self._lock:
            if self._refusals or self._last_beat is None:
                return f"{self._name}: {self._why}"
            silence = now - self._last_beat
            if silence > self._silent_seconds:
                return f"{self._name}: silent for more than {self._silent_seconds:g} s ({self._why})"
            return ""
