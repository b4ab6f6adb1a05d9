"""When each launcher is asked: one leader of each zone every second, the others as often as the budget allows.

The budget is `READS_PER_SECOND` of the whole process. Sentinels (a leader for each set, which is a zone of a resource)
may take three quarters of it; when there are more of them than that, their interval grows with their number, as does
that of all others with theirs. A launcher is never asked twice at once, so a slow one delays nobody but itself.

When the sentinel of a zone is silent, the leaders of some more of its groups are asked as often as it, until one of
them is heard: whether the zone is lost must be known within seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from trireme_operator.collector.targets import Target, Where

READS_PER_SECOND = 200.0
SENTINEL_SECONDS = 1.0
OTHER_SECONDS = 5.0
"""The shortest interval of what is no sentinel: nothing urgent is learnt from it."""
ALARMED_LEADERS = 32
"""Leaders of a zone that are asked beside a silent sentinel."""
_SENTINEL_SHARE = 0.75
_BURST = 20.0

_Zone = tuple[Where, str]


@dataclass(slots=True)
class _Entry:
    target: Target
    turn: int = 0
    """The place in the heap that counts; an older one was given up."""
    started: float | None = None
    """When the read that is under way began."""


class Schedule:
    """Targets by the UID of their pod. Times are seconds of a monotonic clock, which the caller reads."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._leaders: dict[_Zone, dict[str, int]] = {}
        self._sentinels: dict[_Zone, str] = {}
        self._zones: dict[Where, set[str]] = {}
        self._alarmed: dict[Where, dict[str, frozenset[str]]] = {}
        """Who is asked urgently, by resource and by the set whose sentinel is silent."""
        self._due: list[tuple[float, int, str]] = []
        self._turns = 0
        self._tokens, self._filled = _BURST, 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, uid: str) -> bool:
        return uid in self._entries

    @property
    def sentinel_seconds(self) -> float:
        """Between two reads of a sentinel."""
        return max(SENTINEL_SECONDS, len(self._sentinels) / (READS_PER_SECOND * _SENTINEL_SHARE))

    @property
    def other_seconds(self) -> float:
        """Between two reads of any other launcher."""
        left = READS_PER_SECOND - len(self._sentinels) / self.sentinel_seconds
        return max(OTHER_SECONDS, (len(self._entries) - len(self._sentinels)) / left)

    def put(self, target: Target, now: float) -> None:
        """A pod is there, or its address has changed: it is asked at once."""
        known = self._entries.get(target.uid)
        if known is not None and known.target == target:
            return
        if known is not None:
            self.drop(target.uid, now)
        entry = self._entries[target.uid] = _Entry(target)
        if target.leads:
            self._leaders.setdefault((target.where, target.set_name), {})[target.uid] = target.group
            self._choose((target.where, target.set_name), now)
        self._push(entry, now)

    def drop(self, uid: str, now: float) -> None:
        """A pod is gone, or not to be asked any more."""
        entry = self._entries.pop(uid, None)
        if entry is not None and entry.target.leads:
            zone = (entry.target.where, entry.target.set_name)
            del self._leaders[zone][uid]
            if not self._leaders[zone]:
                del self._leaders[zone]
                self.calm(*zone)
            self._choose(zone, now)

    def is_sentinel(self, target: Target) -> bool:
        """Whether its zone is judged by it first."""
        return self._sentinels.get((target.where, target.set_name)) == target.uid

    def alarm(self, target: Target, now: float) -> None:
        """The sentinel of a zone is silent: ask other leaders of it at once, and as often.

        So are the sentinels of the resource's other zones: whether those are heard tells whose silence it is.
        """
        alarmed = self._alarmed.setdefault(target.where, {})
        if target.set_name in alarmed:
            return
        leaders = self._leaders.get((target.where, target.set_name), {})
        chosen = sorted(leaders, key=lambda uid: (leaders[uid], uid))[: ALARMED_LEADERS + 1]
        beside = [self._sentinels[target.where, name] for name in self._zones[target.where]]
        alarmed[target.set_name] = frozenset((*chosen, *beside))
        for uid in alarmed[target.set_name] - {target.uid}:
            entry = self._entries[uid]
            if entry.started is None:
                self._push(entry, now)

    def calm(self, where: Where, set_name: str) -> None:
        """The sentinel of a zone is heard again, or the zone is gone."""
        alarmed = self._alarmed.get(where, {})
        alarmed.pop(set_name, None)
        if not alarmed:
            self._alarmed.pop(where, None)

    def take(self, now: float) -> Iterator[Target]:
        """Those to ask now; each must be ended with `done`."""
        self._tokens = min(_BURST, self._tokens + (now - self._filled) * READS_PER_SECOND)
        self._filled = now
        while self._tokens >= 1.0 and (entry := self._next(now)) is not None:
            self._tokens -= 1.0
            entry.started = now
            yield entry.target

    def done(self, target: Target, now: float) -> None:
        """A read ended."""
        entry = self._entries.get(target.uid)
        if entry is not None and entry.target == target and entry.started is not None:
            due = max(now, entry.started + self._interval(entry))
            entry.started = None
            self._push(entry, due)

    def wait_seconds(self, now: float) -> float | None:
        """Until `take` may have something; None when only a change of the targets can bring it."""
        self._drop_given_up()
        if not self._due:
            return None
        refill = max(0.0, 1.0 - self._tokens) / READS_PER_SECOND
        return max(self._due[0][0] - now, refill, 0.0)

    def _next(self, now: float) -> _Entry | None:
        self._drop_given_up()
        if not self._due or self._due[0][0] > now:
            return None
        return self._entries[heappop(self._due)[2]]

    def _drop_given_up(self) -> None:
        while self._due and not self._counts(*self._due[0][1:]):
            heappop(self._due)

    def _counts(self, turn: int, uid: str) -> bool:
        entry = self._entries.get(uid)
        return entry is not None and entry.turn == turn

    def _push(self, entry: _Entry, due: float) -> None:
        self._turns += 1
        entry.turn = self._turns
        heappush(self._due, (due, entry.turn, entry.target.uid))

    def _choose(self, zone: _Zone, now: float) -> None:
        """The sentinel of a zone is the leader of its first group, which is the last one that scaling takes away."""
        leaders = self._leaders.get(zone)
        where, set_name = zone
        if not leaders:
            self._sentinels.pop(zone, None)
            self._zones[where].discard(set_name)
            if not self._zones[where]:
                del self._zones[where]
            return
        self._zones.setdefault(where, set()).add(set_name)
        chosen = min(leaders, key=lambda uid: (leaders[uid], uid))
        if self._sentinels.get(zone) != chosen:
            self._sentinels[zone] = chosen
            entry = self._entries.get(chosen)
            if entry is not None and entry.started is None and entry.turn:
                self._push(entry, now)

    def _interval(self, entry: _Entry) -> float:
        zone, uid = (entry.target.where, entry.target.set_name), entry.target.uid
        if any(uid in alarmed for alarmed in self._alarmed.get(entry.target.where, {}).values()):
            return SENTINEL_SECONDS
        return self.sentinel_seconds if self._sentinels.get(zone) == uid else self.other_seconds
