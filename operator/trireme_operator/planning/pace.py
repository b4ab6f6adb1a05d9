"""How fast a zone gives up its share of the traffic and takes it back, and what the route remembers of that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trireme_operator.api import InferenceCluster, WeightReason

_FULL: Final = 100
_MOST_STEPS: Final = 10
"""Each step is a write of the route and of the status."""


class Way(StrEnum):
    """Where a zone that is not simply in traffic is going."""

    LEAVING = "Leaving"
    OUT = "Out"
    BACK = "Back"


@dataclass(frozen=True)
class Mark:
    """What the route remembers of a zone: its way ``since`` (seconds since the epoch), and why it left."""

    way: Way
    since: int
    reason: WeightReason


@dataclass(frozen=True)
class Pace:
    """Seconds of `spec.failover`: silence until a zone is lost, how long it must be well, how long a return takes."""

    detect: int = 3
    dwell: int = 10
    way: int = 60

    @property
    def step(self) -> int:
        """Seconds between two steps: never less than the dwell time, and ten of them at most."""
        return max(self.dwell, -(-self.way // _MOST_STEPS), 1)

    def percent(self, mark: Mark, *, now: int) -> int:
        """Of the zone's share: what it has now."""
        passed = max(0, now - mark.since)
        if passed >= self.way:
            done = _FULL
        else:
            steps = -(-self.way // self.step) + 1
            done = _FULL * (passed // self.step + 1) // steps
        return {Way.LEAVING: _FULL - done, Way.OUT: 0, Way.BACK: done}[mark.way]

    def next_step(self, mark: Mark, *, now: int) -> int:
        """Seconds until it has another one."""
        passed = max(0, now - mark.since)
        return max(1, min(self.way, (passed // self.step + 1) * self.step) - passed)

    def leave(self, mark: Mark | None, *, now: int, reason: WeightReason) -> Mark:
        """A zone begins to leave: from the full share, or from where its return has come to."""
        missing = 0 if mark is None else _FULL - self.percent(mark, now=now)
        return Mark(Way.LEAVING, now - self._spent(missing), reason)

    def turn_back(self, mark: Mark, *, now: int) -> Mark:
        """A zone that was leaving comes back from where it is; one that is coming back goes on."""
        if mark.way is not Way.LEAVING:
            return mark
        return Mark(Way.BACK, now - self._spent(self.percent(mark, now=now)), mark.reason)

    def _spent(self, percent: int) -> int:
        """The beginning of the step after which so much is done."""
        steps = -(-self.way // self.step) + 1
        return max(0, (percent * steps + _FULL // 2) // _FULL - 1) * self.step


def pace(cluster: InferenceCluster) -> Pace:
    """What the resource asks for, or the defaults."""
    wanted = cluster.spec.failover
    if wanted is None:
        return Pace()
    given = {"detect": wanted.detect_seconds, "dwell": wanted.dwell_seconds, "way": wanted.return_seconds}
    return Pace(**{name: seconds for name, seconds in given.items() if seconds is not None})


def encode(marks: Mapping[str | None, Mark]) -> str:
    """Marks by zone as the text of an annotation; empty without any."""
    document = {
        name or "": {"way": mark.way, "since": mark.since, "reason": mark.reason} for name, mark in marks.items()
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")) if document else ""


def decode(text: str | None) -> dict[str | None, Mark]:
    """What an annotation says; what was spoilt is not remembered."""
    try:
        document = json.loads(text or "{}")
        return {
            name or None: Mark(Way(item["way"]), int(item["since"]), WeightReason(item["reason"]))
            for name, item in document.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
