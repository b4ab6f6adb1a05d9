"""A count that moves all the time, averaged: what counts is how many requests there were lately, not at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from trireme_operator.planning import Queue


@dataclass(slots=True)
class Mean:
    """Over about the last ``seconds``: what came earlier counts less and less. Kept since ``since``, by some clock."""

    seconds: float
    since: float
    value: float | None = None
    at: float = 0.0

    def add(self, count: int, now: float) -> None:
        """A new count."""
        share = 1.0 if self.value is None else 1.0 - exp((self.at - now) / self.seconds)
        self.value = (self.value or 0.0) + share * (count - (self.value or 0.0))
        self.at = now

    def queue(self, now: float, *, fresh_seconds: float) -> Queue | None:
        """None until it was kept for half of its time; then what it is, if a count came lately."""
        if now - self.since < self.seconds / 2:
            return None
        return Queue(self.value if now - self.at <= fresh_seconds else None)
