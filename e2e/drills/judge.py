"""What is measured of a drill, and whether it is within the budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from e2e.drills.traffic import Request


@dataclass(frozen=True)
class Budget:
    """Most seconds after the event that each may take, and most requests that may fail; None is without a limit."""

    out_of_rotation_seconds: float | None = 5.0
    recovered_seconds: float | None = 30.0
    last_failed_seconds: float | None = 8.0
    """When the last request that failed may have begun: by then the gateway sends everything to the other zone."""
    longest_silence_seconds: float | None = 3.0
    """Longest time without any answer: the other zone's share must be answered all the time."""
    ended_seconds: float | None = None
    """When a container of each pod of the group must have ended."""
    failed: float | None = None
    """Requests, not seconds."""
    weight_moved_seconds: float | None = None
    """When the route must have taken all traffic from the zone."""
    zones_out: float | None = None
    """Zones, not seconds: most that may be without traffic at one time."""
    returns: float | None = None
    """How often, at most, a zone without traffic may be given some: more is a flapping route."""


@dataclass(frozen=True)
class Measured:
    """What a drill showed. Seconds are counted from the event; None is never."""

    requests: int = 0
    failed: int = 0
    out_of_rotation_seconds: float | None = None
    recovered_seconds: float | None = None
    last_failed_seconds: float | None = None
    last_fault: str = ""
    """How that request failed."""
    longest_silence_seconds: float | None = None
    """Not counted from the event: the longest time between two good answers after it."""
    ended_seconds: float | None = None
    weight_moved_seconds: float | None = None
    weight_back_seconds: float | None = None
    """When the route gave the zone traffic again."""
    zones_out: int = 0
    """Most zones without traffic at one time."""
    returns: int = 0
    """How often a zone without traffic was given some."""
    node_lost_seconds: float | None = None
    """When the resource's status said NodeLost."""
    whole_again: bool = False
    """Ready again in the resource's own status, within the limit."""
    first_cause: str = ""
    """As the resource's status said it, or the pod's own termination message where the status did not."""
    cause_in_status: bool = False
    others: str = ""
    """What happened to other groups; empty when they were ready all the time."""
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

    def told(self) -> str:
        """All of it, as text: of objects pytest shows a line."""
        return f"{'; '.join(self.why)}\n{self.measured}"

    def row(self) -> dict[str, Any]:
        """As it stands in ``bench/results/drills.json``."""
        return {
            "drill": self.drill,
            "engine": str(self.engine),
            "at": self.at,
            **asdict(self.measured),
            "budget": asdict(self.budget),
            "passed": self.passed,
            "why": "; ".join(self.why),
        }


@dataclass(frozen=True)
class Must:
    """What must follow besides the budget."""

    requests: int = 1
    cause_words: tuple[str, ...] = ()
    weight_moves: bool = True
    stays_out_seconds: float = 0.0
    """The zone may have no traffic earlier than so long after the event."""


def judge(measured: Measured, budget: Budget, must: Must) -> tuple[str, ...]:
    """Every way in which ``measured`` is not what was promised, in words."""
    found = [
        *_times(measured, budget),
        *_answers(measured, budget, must.requests),
        "" if measured.whole_again else "the resource did not become Ready again",
        measured.others,
        *_said(measured, must.cause_words),
        *_moves(measured, budget, must.stays_out_seconds),
    ]
    if must.weight_moves and measured.weight_moved_seconds is None:
        found.append("the HTTPRoute never took the broken zone's weight away")
    return tuple(text for text in found if text)


def _times(measured: Measured, budget: Budget) -> Iterable[str]:
    if budget.out_of_rotation_seconds is not None:
        yield _late("out of rotation", measured.out_of_rotation_seconds, budget.out_of_rotation_seconds)
    yield _late("whole again", measured.recovered_seconds, budget.recovered_seconds)
    if budget.ended_seconds is not None:
        yield _late("every pod's container ended", measured.ended_seconds, budget.ended_seconds)


def _late(what: str, seconds: float | None, limit: float | None) -> str:
    if seconds is None:
        return f"{what}: never seen"
    return f"{what} after {seconds:.1f} s, at most {limit:g} s" if limit is not None and seconds > limit else ""


def _answers(measured: Measured, budget: Budget, least: int) -> Iterable[str]:
    last, limit = measured.last_failed_seconds, budget.last_failed_seconds
    if last is not None and limit is not None and last > limit:
        how = f": {measured.last_fault}" if measured.last_fault else ""
        yield f"a request that began {last:.1f} s after the event failed, none may after {limit:g} s{how}"
    silence, limit = measured.longest_silence_seconds, budget.longest_silence_seconds
    if limit is not None and (silence is None or silence > limit):
        text = "never" if silence is None else f"not for {silence:.1f} s"
        yield f"requests were {text} answered, the longest silence may be {limit:g} s"
    if measured.requests < least:
        yield f"{measured.requests} requests were sent, at least {least} are needed"
    if budget.failed is not None and measured.failed > budget.failed:
        yield f"{measured.failed} of {measured.requests} requests failed, at most {budget.failed:g} may"


def _said(measured: Measured, words: Sequence[str]) -> Iterable[str]:
    missing = [word for word in words if word not in measured.first_cause]
    if missing:
        yield f"the first cause does not name {' and '.join(missing)}"
    if words and not measured.cause_in_status:
        yield "the resource's status does not tell the first cause"


def _moves(measured: Measured, budget: Budget, stays_out: float) -> Iterable[str]:
    if budget.weight_moved_seconds is not None and measured.weight_moved_seconds is not None:
        yield _late("no traffic for the zone", measured.weight_moved_seconds, budget.weight_moved_seconds)
    back = measured.weight_back_seconds
    if back is not None and back < stays_out:
        yield f"the zone had traffic again after {back:.1f} s, it may not before {stays_out:g} s"
    if budget.zones_out is not None and measured.zones_out > budget.zones_out:
        yield f"{measured.zones_out} zones had no traffic at one time, at most {budget.zones_out:g} may"
    if budget.returns is not None and measured.returns > budget.returns:
        yield f"zones came back into traffic {measured.returns} times, at most {budget.returns:g} may"


def last_failed(requests: Sequence[Request], since: float) -> tuple[float | None, str]:
    """Seconds after the event at which the last failed request began, and its fault; None without one."""
    failed = [request for request in requests if request.fault]
    if not failed:
        return None, ""
    last = max(failed, key=lambda request: request.began)
    return round(last.began - since, 2), last.fault


def longest_silence(requests: Sequence[Request], since: float) -> float | None:
    """Most seconds between two good answers from the event until the last request began; None without any.

    After that only those that take long are answered.
    """
    until = max((request.began for request in requests), default=since)
    good = sorted(request.ended for request in requests if not request.fault and since <= request.ended <= until)
    gaps = [later - earlier for earlier, later in pairwise([since, *good, until])]
    return round(max(gaps), 2) if good else None
