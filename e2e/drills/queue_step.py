"""What a step of the load did to one autoscaled resource: from a queue that is too long to groups, and back.

Made of what was seen while it ran: the metric as an autoscaler is told it, the LeaderWorkerSets and the pods.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from e2e.api import ApiError
from e2e.drills.record import Seen, states
from e2e.drills.timeline import ZONE, is_ready, label
from e2e.drills.traffic import Request

PATCHED_SECONDS = 15.0
"""The longest time from the metric to the number: the period in which kube-controller-manager looks at autoscalers."""
_LATE_SECONDS = 1.0
"""What that look itself may take on a machine whose processors are all busy."""
_LOOK_SECONDS = 0.25

Queues = Mapping[str, Sequence[int]]
"""By zone the queue's length of each leader whose length is known."""


@dataclass(frozen=True)
class Sample:
    """The queues at one time (monotonic clock)."""

    at: float
    queues: Queues


@dataclass(frozen=True)
class Witness:
    """All that was seen: samples of the queues, and every event of LeaderWorkerSets and pods."""

    queues: Sequence[Sample]
    sets: Sequence[Seen]
    pods: Sequence[Seen]


@dataclass(frozen=True)
class Step:
    """One zone's step. Times in seconds, None for never: until `fell` from the metric, then from the lighter load."""

    patched: float | None
    """The number was raised for the first time."""
    asked: float | None
    """All groups were asked for."""
    ready: float | None
    """All of them were ready."""
    fell: float | None
    """Each leader's queue was shorter: it had come half of the way from the longest to an even share."""
    longest: int
    """Requests at one leader, at most, until then."""
    after: int | None
    """The same when it had fallen."""
    down: float | None
    """One group was asked for."""
    ended: float | None
    """The pods of the others were gone."""

    def row(self) -> dict[str, Any]:
        """As it stands in the file of results; seconds with one decimal."""
        times = ("patched", "asked", "ready", "fell", "down", "ended")
        seconds = {f"{name}_seconds": _rounded(getattr(self, name)) for name in times}
        return {**seconds, "queue_longest": self.longest, "queue_after": self.after}


def measure(witness: Witness, zone: str, *, target: int, most: int, began: float, lighter: float) -> Step:
    """Of a zone that had one group when the load ``began``, and that was to have ``most`` until it got ``lighter``.

    Raises ValueError when the metric was never above the target.
    """
    samples = [(each.at, each.queues.get(zone, ())) for each in witness.queues]
    there = _first(at for at, queue in samples if began <= at < lighter and max(queue, default=0) > target)
    if there is None:
        raise ValueError(f"no leader of {zone} had more than {target} requests: {shown(witness.queues)}")
    numbers = [(each.at, int(each.obj["spec"]["replicas"])) for each in witness.sets if _zone_of(each) == zone]
    pods = [(at, [pod for pod in found.values() if label(pod, ZONE) == zone]) for at, found in states(witness.pods)]
    ready = _first(at for at, found in pods if began <= at < lighter and sum(map(is_ready, found)) == most)
    longest = max(max(queue, default=0) for at, queue in samples if there <= at <= (ready or lighter))
    fallen = next(
        (
            (at, max(queue))
            for at, queue in samples
            if ready and ready <= at < lighter and _has_fallen(queue, longest, most)
        ),
        None,
    )
    down = _first(at for at, number in numbers if at >= lighter and number == 1)
    return Step(
        patched=_since(there, _first(at for at, number in numbers if at >= began and number > 1)),
        asked=_since(there, _first(at for at, number in numbers if at >= began and number == most)),
        ready=_since(there, ready),
        fell=_since(there, fallen[0] if fallen else None),
        longest=longest,
        after=fallen[1] if fallen else None,
        down=_since(lighter, down),
        ended=_since(lighter, _first(at for at, found in pods if down and at >= down and len(found) == 1)),
    )


def faults(step: Step, requests: Sequence[Request]) -> tuple[str, ...]:
    """Every way in which it is not what was promised, in words."""
    failed = [request.fault for request in requests if request.fault]
    limit = PATCHED_SECONDS + _LATE_SECONDS
    late = step.patched is not None and step.patched > limit
    found = [
        f"the number was raised {step.patched:.1f} s after the metric, at most {limit:g} s" if late else "",
        *(f"never {what}" for name, what in _PROMISED.items() if getattr(step, name) is None),
        f"{len(failed)} of {len(requests)} requests failed: {' | '.join(sorted(set(failed))[:3])}" if failed else "",
        "" if requests else "no request was sent",
    ]
    return tuple(text for text in found if text)


_PROMISED = {
    "patched": "a group more was asked for",
    "asked": "all groups were asked for",
    "ready": "all groups were ready",
    "fell": "the queue fell",
    "down": "one group was asked for again",
    "ended": "the other groups were gone",
}


def by_zone(values: Iterable[Mapping[str, Any]], name: str, zones: Sequence[str]) -> Queues:
    """Of the items of a MetricValueList: a leader's pod is called as the resource, its zone and its number."""
    found: dict[str, list[int]] = {zone: [] for zone in zones}
    for item in values:
        zone = item["describedObject"]["name"].removeprefix(f"{name}-").rpartition("-")[0]
        if zone in found:
            found[zone].append(int(item["value"]))
    return found


def shown(samples: Sequence[Sample]) -> str:
    """The last of them, in words."""
    text = [f"{each.at:.1f}: {dict(each.queues)}" for each in samples[-8:]]
    return "; ".join(text) or "nobody told any queue"


class Gauge:
    """Asks for the queues again and again in a thread, from the start of its block to the end."""

    def __init__(self, read: Callable[[], Queues]) -> None:
        self._read = read
        self._samples: list[Sample] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queues", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(timeout=15)

    @property
    def samples(self) -> tuple[Sample, ...]:
        return tuple(self._samples)

    def _run(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            try:
                queues = self._read()
            except (ApiError, OSError):
                continue  # the API server had nobody to ask
            self._samples.append(Sample(time.monotonic(), queues))


def _has_fallen(queue: Sequence[int], longest: int, most: int) -> bool:
    """Whether all groups tell their queues, and none is longer than half of the way down to an even share."""
    return len(queue) == most and max(queue) <= (longest + sum(queue) / most) / 2


def _zone_of(seen: Seen) -> str:
    return label(seen.obj, ZONE)


def _first(times: Iterable[float]) -> float | None:
    return next(iter(times), None)


def _since(begin: float, at: float | None) -> float | None:
    """Not before it: an autoscaler may have looked between two of our own looks."""
    return None if at is None else max(0.0, at - begin)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
