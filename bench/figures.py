"""What is measured, what it must reach, and the arithmetic in between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import median
from typing import Any

NOT_YET = "not yet measured"


@dataclass(frozen=True)
class Limit:
    """What a figure must stay at or below, and the size of the run that decides."""

    key: str
    what: str
    most: float
    unit: str
    full: int
    """Measurements (or resources, or seconds: see ``counted``) from which on the figure decides."""
    counted: str = "runs"


LIMITS: tuple[Limit, ...] = (
    Limit("create_ratio", "create of 3 zones until all children are stored / bare apply", 1.3, "x", 200),
    Limit("burst_ratio", "burst of creates / bare apply of all their children", 1.25, "x", 1000, "resources"),
    Limit("burst_max_over_median", "the slowest of the burst / its median", 3.0, "x", 1000, "resources"),
    Limit("create_write_ratio", "mutating requests on create / fewest possible", 1.1, "x", 20, "resources"),
    Limit("noop_writes", "mutating requests after edits that change nothing", 0, "requests", 20, "resources"),
    Limit("restart_writes", "mutating requests of a restart", 0, "requests", 1000, "resources"),
    Limit("rest_writes", "mutating requests at rest", 0, "requests", 600, "seconds"),
    Limit("drift_p99_seconds", "a deleted child is back", 1.0, "s", 100),
    Limit("ready_p99_seconds", "last pod ready until Ready=True", 0.25, "s", 100),
    Limit("restart_seconds", "start of a new process until a missing child is back", 3.0, "s", 1000, "resources"),
    Limit("rss_mb_at_1000", "resident memory of the operator", 120.0, "MB", 1000, "resources"),
    Limit("rss_kb_each", "resident memory for each resource", 40.0, "kB", 1000, "resources"),
    Limit("rss_after_delete_ratio", "memory after all were deleted / before the first", 1.1, "x", 1000, "resources"),
    Limit("metrics_answer_p99_seconds", "the metrics server's answer to an autoscaler", 0.05, "s", 1000, "leaders"),
    Limit("metrics_rss_mb", "resident memory of a metrics server", 120.0, "MB", 1000, "leaders"),
    Limit("metrics_processor_share", "processor time of a metrics server, of one core", 0.5, "cores", 1000, "leaders"),
    Limit("metrics_reads_per_second", "reads of launchers by a metrics server", 205.0, "reads/s", 1000, "leaders"),
    Limit("start_seconds", "start of the process until its probe answers, empty cluster", 2.0, "s", 5),
    Limit("handover_seconds", "SIGTERM to the operator that leads until another one does, the longest", 1.0, "s", 50),
    Limit("takeover_seconds", "SIGKILL of the operator that leads until another one does, the longest", 10.0, "s", 50),
    Limit("image_mb", "the operator's image, compressed", 150.0, "MB", 1, "images"),
)


@dataclass(frozen=True)
class Figure:
    """One measured figure; ``size`` is in the unit that its limit counts in."""

    key: str
    value: float
    size: int
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def limit(self) -> Limit:
        return next(limit for limit in LIMITS if limit.key == self.key)

    @property
    def full(self) -> bool:
        """Whether the run was large enough to decide."""
        return self.size >= self.limit.full

    @property
    def within(self) -> bool:
        return self.value <= self.limit.most

    @property
    def status(self) -> str:
        """``pass`` or ``fail``; a run that was too small decides nothing."""
        if not self.full:
            return NOT_YET
        return "pass" if self.within else "fail"


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that at least ``percent`` % of the values do not exceed (nearest rank).

    Raises:
        ValueError: there is no value, or ``percent`` is not within 1 to 100.

    """
    if not values:
        raise ValueError("no values to take a percentile of")
    if not 0 < percent <= 100:  # noqa: PLR2004 - per cent
        raise ValueError(f"percent is {percent}: use 1 to 100")
    return sorted(values)[math.ceil(Fraction(percent * len(values), 100)) - 1]


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Durations in milliseconds: median, 90th and 99th percentile, largest."""
    chosen = {
        "p50": median(seconds),
        "p90": percentile(seconds, 90),
        "p99": percentile(seconds, 99),
        "max": max(seconds),
    }
    return {f"{name}_ms": round(1000 * value, 1) for name, value in chosen.items()}


def median_ratio(ours: Sequence[float], base: Sequence[float]) -> float:
    """The median of one series over the median of the other.

    Raises:
        ValueError: the series are not pairs, or there are none.

    """
    if not ours or len(ours) != len(base):
        raise ValueError(f"{len(ours)} measurements against {len(base)}: pairs are needed")
    return median(ours) / median(base)


def drifted(base: Sequence[float]) -> float:
    """By how much the second half of the baseline differs from the first, as a fraction: how quiet the machine was."""
    if len(base) < 2:  # noqa: PLR2004 - two halves
        return 0.0
    half = len(base) // 2
    return abs(median(base[half:]) / median(base[:half]) - 1)
