"""What is measured of a drill, and whether it is within the budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from e2e.drills.traffic import Request


@dataclass(frozen=True)
class Budget:
    """Most seconds after the event that each may take; None is without a limit."""

    out_of_rotation_seconds: float = 5.0
    recovered_seconds: float | None = 30.0
    last_failed_seconds: float | None = 8.0
    """When the last request that failed may have begun: by then the gateway sends everything to the other zone."""
    longest_silence_seconds: float | None = 3.0
    """Longest time without any answer: the other zone's share must be answered all the time."""


@dataclass(frozen=True)
class Measured:
    """What a drill showed. Seconds are counted from the event; None is never."""

    requests: int = 0
    failed: int = 0
    out_of_rotation_seconds: float | None = None
    recovered_seconds: float | None = None
    last_failed_seconds: float | None = None
    longest_silence_seconds: float | None = None
    """Not counted from the event: the longest time between two good answers after it."""
    weight_moved_seconds: float | None = None
    whole_again: bool = False
    """Ready again in the resource's own status, within the limit."""
    first_cause: str = ""
    """As the resource's status said it, or the pod's own termination message where the status did not."""
    cause_in_status: bool = False
    other_zone: str = ""
    """What happened to the other zone; empty when its group was ready all the time."""
    faults: tuple[str, ...] = ()
    """How requests failed, each way once."""


@dataclass(frozen=True)
class Result:
    """One drill, measured and judged; ``why`` names every limit that was missed."""

    drill: str
    engine: str
    at: str
    measured: Measured
    budget: Budget
    why: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.why

    def row(self) -> dict[str, Any]:
        """As it stands in ``bench/results/drills.json``."""
        return {
            "drill": self.drill,
            "engine": self.engine,
            "at": self.at,
            **asdict(self.measured),
            "budget": asdict(self.budget),
            "passed": self.passed,
            "why": "; ".join(self.why),
        }


def judge(measured: Measured, budget: Budget, *, cause_words: Iterable[str], weight_must_move: bool) -> tuple[str, ...]:
    """Every way in which ``measured`` is not what was promised, in words."""
    found = [
        _late("out of rotation", measured.out_of_rotation_seconds, budget.out_of_rotation_seconds),
        _late("whole group ready again", measured.recovered_seconds, budget.recovered_seconds),
    ]
    last, limit = measured.last_failed_seconds, budget.last_failed_seconds
    if last is not None and limit is not None and last > limit:
        found.append(f"a request that began {last:.1f} s after the event failed, none may after {limit:g} s")
    silence, limit = measured.longest_silence_seconds, budget.longest_silence_seconds
    if limit is not None and (silence is None or silence > limit):
        text = "never" if silence is None else f"not for {silence:.1f} s"
        found.append(f"requests were {text} answered, the longest silence may be {limit:g} s")
    if measured.requests == 0:
        found.append("no request was sent")
    if not measured.whole_again:
        found.append("the resource did not become Ready again")
    if measured.other_zone:
        found.append(measured.other_zone)
    if weight_must_move and measured.weight_moved_seconds is None:
        found.append("the HTTPRoute never took the broken zone's weight away")
    missing = [word for word in cause_words if word not in measured.first_cause]
    if missing:
        found.append(f"the first cause does not name {' and '.join(missing)}")
    return tuple(text for text in found if text)


def _late(what: str, seconds: float | None, limit: float | None) -> str:
    if seconds is None:
        return f"{what}: never seen"
    return f"{what} after {seconds:.1f} s, at most {limit:g} s" if limit is not None and seconds > limit else ""


def last_failed(requests: Sequence[Request], since: float) -> float | None:
    """Seconds after the event at which the last failed request began; None without one."""
    failed = [request.began - since for request in requests if request.fault]
    return round(max(failed), 2) if failed else None


def longest_silence(requests: Sequence[Request], since: float) -> float | None:
    """Most seconds between two good answers after the event, or from it to the first; None without any."""
    good = sorted(request.ended for request in requests if not request.fault and request.ended >= since)
    gaps = [later - earlier for earlier, later in pairwise([since, *good])]
    return round(max(gaps), 2) if gaps else None
