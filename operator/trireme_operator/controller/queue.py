"""A keyed work queue: every key is worked on by one worker at a time, and the latest wish always wins.

A key is *idle*, *queued*, *running*, *running and dirty*, or *waiting* for its time. What happens to it:

    event     | idle, waiting        | queued  | running  | dirty
    add       | queued (timer off)   | -       | dirty    | -
    succeeded |                      |         | waiting  | queued
    failed    |                      |         | waiting  | waiting: back-off holds, dirty or not

An `add` during back-off runs the key at once: the event may be what heals it. Only within `gather_seconds` after a run
it waits until they are over: events come in bursts, and one run deals with all of them. Namespaces take turns, so that
one with a thousand keys does not starve the others. The queue belongs to one event loop and takes no lock.

A paused queue collects keys and hands none out: that of a process which may not write, and must know what to do when
it may.
"""

import asyncio
import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_LIMIT_SECONDS = 300.0
JITTER_PERCENT = 20


class Key(NamedTuple):
    """The namespace and name of a resource."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass
class _Entry:
    """A key that is not idle."""

    queued_since: float | None = None
    running: bool = False
    dirty_since: float | None = None
    timer: int = 0  # the heap entry that counts; an older one was cancelled
    due: float | None = None
    failures: int = 0
    rests_until: float = 0.0


@dataclass
class KeyedQueue:
    """See the module. Times are seconds of `clock`, which must be monotonic."""

    gather_seconds: float = 0.0
    clock: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)
    _entries: dict[Key, _Entry] = field(default_factory=dict)
    _ready: OrderedDict[str, deque[Key]] = field(default_factory=OrderedDict)
    _timers: list[tuple[float, int, Key]] = field(default_factory=list)
    _timer_ids: int = 0
    _wakeup: asyncio.Event = field(default_factory=asyncio.Event)
    _paused: bool = False

    def pause(self) -> None:
        """Hand out no more keys; what runs goes on."""
        self._paused = True

    def resume(self) -> None:
        """Hand out keys again, every known one at once; the time of the pause does not count as waiting."""
        self._paused = False
        now = self.clock()
        for key, entry in list(self._entries.items()):
            if entry.queued_since is None:
                self.add(key)
            else:
                entry.queued_since = now
        self._wakeup.set()

    def add_all(self) -> None:
        """Ask for a run of every known key: each one waits for its next full look."""
        for key in self.known():
            self.add(key)

    def add(self, key: Key) -> None:
        """Ask for a run as soon as possible; equal keys merge."""
        entry = self._entries.setdefault(key, _Entry())
        if entry.running:
            entry.dirty_since = entry.dirty_since if entry.dirty_since is not None else self.clock()
        elif entry.queued_since is None:
            self._ask(key, entry, since=self.clock())

    def take(self) -> Key | None:
        """The next key to run, or None when none is due. The caller must end it with `succeeded` or `failed`."""
        self._promote_due()
        if self._paused or not self._ready:
            return None
        namespace, keys = self._ready.popitem(last=False)
        key = keys.popleft()
        if keys:
            self._ready[namespace] = keys
        entry = self._entries[key]
        entry.queued_since, entry.running = None, True
        return key

    async def get(self) -> Key:
        """Wait for the next key; as `take`."""
        while True:
            key = self.take()
            if key is not None:
                return key
            self._wakeup.clear()
            due = None if self._paused else self._next_due()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - self.clock())):
                    await self._wakeup.wait()
            except TimeoutError:
                continue

    def succeeded(self, key: Key, *, again_seconds: float | None) -> None:
        """End a run: back to idle, or waiting for `again_seconds` (+- 20 %)."""
        entry = self._end(key)
        entry.failures = 0
        if entry.dirty_since is not None:
            self._ask(key, entry, since=entry.dirty_since)
        elif again_seconds is not None:
            self._wait(key, entry, self._jittered(again_seconds))
        else:
            del self._entries[key]

    def failed(self, key: Key, *, at_least_seconds: float = 0.0) -> float:
        """End a run that failed; returns the seconds until the next one (0.5 doubling to 300, +- 20 %)."""
        entry = self._end(key)
        entry.failures += 1
        exponent = min(entry.failures - 1, 16)  # 0.5 * 2^16 is far above the limit; more would only overflow
        delay = self._jittered(min(BACKOFF_FIRST_SECONDS * 2**exponent, BACKOFF_LIMIT_SECONDS))
        delay = max(delay, at_least_seconds)
        self._wait(key, entry, delay)
        return delay

    def known(self) -> tuple[Key, ...]:
        """Every key that is not idle."""
        return tuple(self._entries)

    @property
    def depth(self) -> int:
        """Keys that could run now if a worker were free; 0 while paused."""
        if self._paused:
            return 0
        self._promote_due()
        return sum(len(keys) for keys in self._ready.values())

    @property
    def oldest_seconds(self) -> float:
        """How long the longest waiting runnable key has been waiting for a worker; 0 when none is, or while paused."""
        if self._paused:
            return 0.0
        self._promote_due()
        now = self.clock()
        ages = [now - entry.queued_since for entry in self._entries.values() if entry.queued_since is not None]
        return max(ages, default=0.0)

    def _end(self, key: Key) -> _Entry:
        entry = self._entries.get(key)
        if entry is None or not entry.running:
            message = f"key {key} ended without running"
            raise RuntimeError(message)
        entry.running = False
        entry.rests_until = self.clock() + self.gather_seconds
        return entry

    def _ask(self, key: Key, entry: _Entry, *, since: float) -> None:
        rest = entry.rests_until - self.clock()
        if rest <= 0:
            self._enqueue(key, entry, since=since)
        elif entry.due is None or entry.due > entry.rests_until:
            self._wait(key, entry, rest)

    def _enqueue(self, key: Key, entry: _Entry, *, since: float) -> None:
        entry.queued_since, entry.dirty_since, entry.due, entry.timer = since, None, None, 0
        self._ready.setdefault(key.namespace, deque()).append(key)
        self._wakeup.set()

    def _wait(self, key: Key, entry: _Entry, seconds: float) -> None:
        self._timer_ids += 1
        entry.dirty_since, entry.timer, entry.due = None, self._timer_ids, self.clock() + seconds
        heappush(self._timers, (entry.due, entry.timer, key))
        self._wakeup.set()

    def _promote_due(self) -> None:
        while self._timers and (self._cancelled(self._timers[0]) or self._timers[0][0] <= self.clock()):
            timer = heappop(self._timers)
            if not self._cancelled(timer):
                self._enqueue(timer[2], self._entries[timer[2]], since=timer[0])

    def _next_due(self) -> float | None:
        return self._timers[0][0] if self._timers else None

    def _cancelled(self, timer: tuple[float, int, Key]) -> bool:
        entry = self._entries.get(timer[2])
        return entry is None or entry.timer != timer[1]

    def _jittered(self, seconds: float) -> float:
        return seconds * (1 + self.rng.uniform(-JITTER_PERCENT, JITTER_PERCENT) / 100)
