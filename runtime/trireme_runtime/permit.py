"""May this group start its engine? Its leader asks the operator first, which remembers how often the group failed.

Whoever gets no answer within a second starts: without an operator groups must come back as well. An operator that has
said no is believed until the time that it named, and asked again before, since the cause may have been removed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trireme_runtime import fetch, question
from trireme_runtime.environment import Environment
from trireme_runtime.log import say, timestamp
from trireme_runtime.question import ANSWER_SECONDS, Question

ASK_AGAIN_SECONDS = 30.0
_SOONEST_SECONDS = 1.0
_JITTER = 0.1
_LONGEST_SECONDS = 86400.0
"""The longest window of the resource: whatever an answer names, nobody waits longer without another one."""


@dataclass(frozen=True)
class Held:
    """Until when the group does not start (seconds since the epoch), after how many failures, and the first cause."""

    until: float
    failures: int
    cause: str

    def __str__(self) -> str:
        cause = f": {self.cause}" if self.cause else ""
        return f"held until {timestamp(self.until)} after {self.failures} failures{cause}"

    def as_json(self) -> dict[str, object]:
        return {"until": timestamp(self.until), "failures": self.failures, "cause": self.cause}


class Permit:
    """The question and what follows from its answers; ``wall`` in seconds since the epoch, asked by one thread."""

    def __init__(self, ask: Callable[[], Held | None], *, wall: Callable[[], float] = time.time) -> None:
        self.held: Held | None = None
        self._ask = ask
        self._wall = wall
        self._granted = False
        self._question: Question[Held | None] | None = None
        self._ask_at = 0.0

    def waits_for(self, now: float) -> str:
        """Why the engine must not start yet, empty when it may; ``now`` on the monotonic clock. It does not block."""
        if self._granted:
            return ""
        if self._question is None and now >= self._ask_at:
            self._question = Question(self._ask, now)
        if self._question is not None and self._question.is_over(now):
            self._take(self._question, now)
        return self._obstacle()

    def _obstacle(self) -> str:
        if self._granted:
            return ""
        return "the operator, which is asked whether the group may start" if self.held is None else str(self.held)

    def _take(self, asked: Question[Held | None], now: float) -> None:
        self._question = None
        if asked.error is not None and self.held is not None and self._wall() < self.held.until:
            self._ask_at = now + ASK_AGAIN_SECONDS
            return
        if asked.error is not None:
            say("Starting without the operator's word", reason=asked.error)
        if asked.answer is None or asked.error is not None:
            self._granted, self.held = True, None
            return
        if self.held != asked.answer:
            say("The group is held", reason=str(asked.answer))
        self.held = asked.answer
        left = min(max(asked.answer.until - self._wall(), _SOONEST_SECONDS), ASK_AGAIN_SECONDS)
        self._ask_at = now + left * (1 + _JITTER * random.random())  # noqa: S311 - spreads requests, hides nothing


def of_pod(environment: Environment) -> Permit | None:
    """The permit that a leader needs; None on a worker, and where nobody answers."""
    if environment.permit is None or not environment.is_leader:
        return None
    host, port = environment.permit
    path = question.path(environment, "permit")
    return Permit(lambda: parse(fetch.get(host, port, path, timeout_seconds=ANSWER_SECONDS)))


def parse(answer: fetch.Answer) -> Held | None:
    """None when the group may start; raises ValueError for an answer that is none."""
    document = question.document(answer)
    try:
        if document["start"]:
            return None
        until = min(_seconds(str(document["until"])), time.time() + _LONGEST_SECONDS)
        return Held(until, int(document["failures"]), str(document["cause"])[:1000])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"the operator's answer can't be read: {type(error).__name__}: {error}") from None


def _seconds(text: str) -> float:
    """Of an RFC 3339 time in UTC; ``datetime`` of Python 3.10 does not know the Z."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
