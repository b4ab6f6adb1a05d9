"""Less traffic for a zone whose queue is longer than the others': ``spec.gateway.balancing``.

Each zone has a part of its share, in percent, which is moved by a small step once in an interval. Where it is to move
follows from the queues as they are, not from what it is: so it comes to rest before they are equal, which is what keeps
it from swinging, and it goes back by itself when they are short. The live route is the memory, as of all weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.gateway import AcrossZones

WHOLE: Final = 100
LEAST: Final = 50
"""Percent of its share that a zone keeps, however long its queue is."""
STEP_DOWN: Final = 10
STEP_UP: Final = 5
_INTERVAL_SECONDS: Final = 30
_SMALL: Final = 40
"""Added to each queue: six requests in one zone and none in another one are no reason to move anything."""
_WORTH_LESS: Final = 15
"""A zone gives up when the queues ask for so much less than it has, in percent of its share,"""
_WORTH_MORE: Final = 20
"""and takes back when they ask for so much more,"""
_ALIKE: Final = 90
"""or when its queue is nearly as short as the others'. In between it rests: load is never even."""
_LEAST_ZONES: Final = 2

ZoneName = str | None


@dataclass(frozen=True)
class Queue:
    """Requests that run and wait in each ready group of a zone, on average; None where its launchers don't say."""

    length: float | None


@dataclass(frozen=True)
class Part:
    """What the route remembers of a zone: its part in percent, and when a zone's part was last moved.

    ``since`` in seconds since the epoch; the same for all zones.
    """

    percent: int
    since: int


@dataclass(frozen=True)
class Load:
    """A zone in traffic: its ready groups, and their queue; None while that can't be known yet."""

    groups: int
    queue: Queue | None


def balancing_interval(cluster: InferenceCluster) -> int | None:
    """Seconds between two steps; None where the resource doesn't ask for any."""
    wanted = None if cluster.spec.gateway is None else cluster.spec.gateway.balancing
    if wanted is None or wanted.across_zones is not AcrossZones.QUEUE_LENGTH:
        return None
    return wanted.interval_seconds or _INTERVAL_SECONDS


def averaged_seconds(interval: int) -> int:
    """How long a queue is to be averaged over."""
    return 2 * interval


def part_of(weight: int, percent: int) -> int:
    """The part of a weight, rounded up: never 0 of what is not 0."""
    return -(-weight * percent // WHOLE)


def whole_of(weight: int, percent: int) -> int:
    """The weight that this is a part of: not less than the one that `part_of` was given."""
    return weight * WHOLE // percent


def next_step(parts: Mapping[ZoneName, Part], interval: int, *, now: int) -> int:
    """Seconds until a part may be moved; a whole interval where one may be now."""
    waits = (part.since + interval - now for part in parts.values())
    return max((wait for wait in waits if 0 < wait <= interval), default=interval)


def rebalanced(
    loads: Mapping[ZoneName, Load], parts: Mapping[ZoneName, Part], interval: int, *, now: int
) -> Mapping[ZoneName, Part]:
    """The parts from now on; ``parts`` are those until now, and a zone without one has its whole share.

    ``loads``: the zones that may be moved. None is within the interval, nor while a zone's queue can't be known yet,
    nor with a single zone. One whose launchers do not say how long it is goes back to its whole share.
    """
    early = any(0 <= now - part.since < interval for part in parts.values())
    if early or len(loads) < _LEAST_ZONES or any(load.queue is None for load in loads.values()):
        return parts
    before = {name: parts[name].percent if name in parts else WHOLE for name in loads}
    after = {name: _step(before[name], _asked_for(load.queue, _beside(loads, name))) for name, load in loads.items()}
    if after == before:
        return parts
    percents = {name: part.percent for name, part in parts.items()} | after
    return {name: Part(percent, now) for name, percent in percents.items()}


def _beside(loads: Mapping[ZoneName, Load], name: ZoneName) -> float | None:
    """Requests of each group of the other zones, on average over those that say it."""
    known = [
        (load.groups, load.queue.length)
        for other, load in loads.items()
        if other != name and load.queue is not None and load.queue.length is not None
    ]
    groups = sum(number for number, _ in known)
    return sum(number * length for number, length in known) / groups if groups else None


def _asked_for(queue: Queue | None, beside: float | None) -> int:
    """The part that a queue asks for: the less, the longer it is than those beside it."""
    if queue is None or queue.length is None or beside is None:
        return WHOLE
    return max(LEAST, min(WHOLE, int(WHOLE * (beside + _SMALL) / (queue.length + _SMALL))))


def _step(percent: int, wanted: int) -> int:
    """The next part. Down by half of the way, as a queue is still long when the requests that made it are being served;
    up more slowly, as it must not come back at once.
    """
    if wanted >= _ALIKE or wanted - percent >= _WORTH_MORE:
        return min(WHOLE, percent + STEP_UP)
    if percent - wanted >= _WORTH_LESS:
        return percent - min(STEP_DOWN, (percent - wanted) // 2)
    return max(LEAST, percent - STEP_DOWN) if wanted == LEAST else percent


def encode(parts: Mapping[ZoneName, Part]) -> str:
    """Parts by zone as the text of an annotation; empty without any."""
    document = {name or "": {"percent": part.percent, "since": part.since} for name, part in parts.items()}
    return json.dumps(document, sort_keys=True, separators=(",", ":")) if document else ""


def decode(text: str | None) -> dict[ZoneName, Part]:
    """What an annotation says; what was spoilt is not remembered."""
    try:
        document = json.loads(text or "{}")
        found = {name or None: Part(int(item["percent"]), int(item["since"])) for name, item in document.items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return {}
    return found if all(LEAST <= part.percent <= WHOLE for part in found.values()) else {}
