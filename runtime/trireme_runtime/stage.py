"""The stage of a pod, a function of what is known now, and the journal of the stages that it went through."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

MAX_ENTRIES = 32
_KEPT_FIRST = 8


class Stage(str, enum.Enum):
    """Where a pod is between its start and its end; see docs/contract.md."""

    WAITING = "Waiting"
    HELD = "Held"
    PREFLIGHT = "Preflight"
    FETCHING = "Fetching"
    LOADING = "Loading"
    COMPILING = "Compiling"
    READY = "Ready"
    DRAINING = "Draining"
    FAILED = "Failed"


@dataclass(frozen=True)
class Facts:
    """What decides the stage; an empty text means that there is nothing to say.

    before: the stage of a pod whose engine has not been started (Waiting, Held or Preflight).
    obstacle: on a leader why the group cannot serve, on a worker why the leader says that it does not.
    fetching: bytes of the model arrive.
    compiling: the engine has its weights and compiles or warms up. It says nothing after the group first served.
    failure: the first cause, once there is one.
    draining: what the drain waits for, once SIGTERM came.
    """

    engine_running: bool = False
    obstacle: str = ""
    before: Stage = Stage.WAITING
    fetching: bool = False
    compiling: bool = False
    failure: str = ""
    draining: str = ""


def judge(facts: Facts) -> tuple[Stage, str]:
    """The stage and the reason why it is not a later one."""
    if facts.failure:
        return Stage.FAILED, facts.failure
    if facts.draining:
        return Stage.DRAINING, facts.draining
    if not facts.engine_running:
        return facts.before, facts.obstacle
    if facts.obstacle:
        if facts.compiling:
            return Stage.COMPILING, facts.obstacle
        return Stage.FETCHING if facts.fetching else Stage.LOADING, facts.obstacle
    return Stage.READY, ""


def is_ready(stage: Stage, *, serves: bool, engine_running: bool) -> bool:
    """Whether the pod may be counted: one that answers HTTP when its group serves, another while it holds its ranks."""
    if serves:
        return stage is Stage.READY
    return engine_running and stage is not Stage.FAILED


@dataclass(frozen=True)
class Entry:
    """One stage: entered at ``since`` (seconds since the epoch), it took or takes ``seconds``.

    done, total: bytes, where the stage counts them.
    """

    stage: Stage
    since: float
    seconds: float
    done: int | None = None
    total: int | None = None


class Journal:
    """The stages of one pod in their order; the last one is still running. The main loop alone writes it."""

    def __init__(
        self,
        first: Stage = Stage.WAITING,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._ended: list[Entry] = []
        self._running = Entry(first, wall(), 0.0)
        self._entered = clock()

    @property
    def current(self) -> Stage:
        return self._running.stage

    @property
    def since(self) -> float:
        """When the current stage began, in seconds since the epoch."""
        return self._running.since

    def enter(self, stage: Stage) -> bool:
        """Begin ``stage``; False when it is the current one, or when the pod has failed: that is final."""
        if stage is self.current or self.current is Stage.FAILED:
            return False
        self._ended.append(self._measured())
        if len(self._ended) >= MAX_ENTRIES:
            # How long the start took and what happened last say more than what lies between.
            del self._ended[_KEPT_FIRST]
        self._running = Entry(stage, self._wall(), 0.0)
        self._entered = self._clock()
        return True

    def count(self, done: int | None, total: int | None) -> None:
        """Bytes that the current stage has handled, of how many."""
        self._running = replace(self._running, done=done, total=total)

    def entries(self) -> tuple[Entry, ...]:
        """At most ``MAX_ENTRIES``: the first ones and the last ones."""
        return (*self._ended, self._measured())

    def _measured(self) -> Entry:
        return replace(self._running, seconds=self._clock() - self._entered)
