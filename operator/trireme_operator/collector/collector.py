"""Asks the launchers and keeps what each said last.

It only ever adds knowledge: whoever wants to know whether a group is ready asks the pods, and finds the same with a
collector that hears nothing. Where an answer is news, the resource is named to `changed`; at rest nobody is.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from trireme_operator.collector.asking import Asking
from trireme_operator.collector.client import SilentError
from trireme_operator.collector.listening import Listening
from trireme_operator.collector.mean import Mean
from trireme_operator.collector.schedule import SENTINEL_SECONDS, Schedule
from trireme_operator.collector.statusz import AnswerError, Heard, is_news, parse
from trireme_operator.collector.targets import Target, Where, target_of
from trireme_operator.planning import Proof, Queue

NEWS_BURST = 8
NEWS_SECONDS = 10.0
"""A pod may name its resource so often in a row, and once in so many seconds after that: whatever it says."""

FRESH_SECONDS = 15.0
"""A count that came longer ago says nothing any more; with many launchers, after three times their interval."""

ASKED_SECONDS = 15.0
"""For so long a question is asked after it was wanted last."""


class ReadFn(Protocol):
    """The body of an answer from an address. Raises SilentError and AnswerError."""

    def __call__(self, address: str, question: str = "", /) -> Awaitable[bytes]:
        """See `LauncherClient.read`."""
        ...


BelongsFn = Callable[[Where, str], bool]
"""Whether a LeaderWorkerSet of this name is a child of the resource."""

OutcomeFn = Callable[[str], None]
"""Called after each read with `ok`, `silent` or `refused`."""


@dataclass(slots=True)
class _Voice:
    """What a pod said last, and when; `credit` is how often it may still be news."""

    heard: Heard | None = None
    at: float = 0.0
    silent: bool = False
    refused: bool = False
    owed: bool = False
    asked: float = 0.0
    """When it was asked first."""
    answered: float | None = None
    """When anything came from it last, an answer that is ignored included."""
    steady: float = 0.0
    """Since when it answers each time."""
    question: str = ""
    wanted: float = 0.0
    """When somebody wanted the question to be asked last."""
    failed: float = 0.0
    """When the first of the reads began that it does not answer now."""
    credit: float = NEWS_BURST
    credited: float = 0.0
    mean: Mean | None = None
    """Of its requests; kept from when somebody wanted it first."""

    @property
    def quiet(self) -> bool:
        """Whether the last answer was none, or one that is ignored."""
        return self.silent or self.refused


class Collector:
    """Pods come by `see` and go by `forget`; `run` asks them. It belongs to one event loop and takes no lock.

    The numbers for metrics may be read by another thread: each takes one copy first.
    """

    def __init__(
        self,
        read: ReadFn,
        changed: Callable[[Where], None],
        *,
        belongs: BelongsFn,
        outcome: OutcomeFn = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.schedule = Schedule()
        self._read = read
        self._changed = changed
        self._belongs = belongs
        self._outcome = outcome
        self._clock = clock
        self._voices: dict[str, _Voice] = {}
        self.asking = Asking(self.schedule, self._ask, clock)

    def see(self, pod: dict[str, Any]) -> None:
        """A pod as the API server shows it."""
        target = target_of(pod)
        if target is None:
            self.forget(pod["metadata"]["uid"])
            return
        self.schedule.put(target, self._clock())
        self.asking.wake()

    def forget(self, uid: str) -> None:
        """A pod is gone; so is what it said."""
        self.schedule.drop(uid, self._clock())
        self._voices.pop(uid, None)

    def heard(self, uid: str) -> Heard | None:
        """What the launcher in the pod of this UID said last; None when it has not said anything yet."""
        voice = self._voices.get(uid)
        return None if voice is None else voice.heard

    def listening(self, uids: Iterable[str]) -> Listening | None:
        """What is heard of leaders by the UIDs of their pods; None when none of them was asked yet."""
        now = self._clock()
        voices = [voice for uid in uids if (voice := self._voices.get(uid)) is not None]
        if not voices:
            return None
        answers = [voice.answered for voice in voices if voice.answered is not None]
        steady = [voice.steady for voice in voices if not voice.silent]
        silent_since = max(max(voice.answered or voice.asked, voice.failed - SENTINEL_SECONDS) for voice in voices)
        return Listening(
            asked=now - min(voice.asked for voice in voices),
            heard=now - max(answers) if answers else None,
            steady=now - min(steady) if steady else None,
            silence=None if steady else now - silent_since,
        )

    def proof(self, uid: str, question: str) -> Proof:
        """Whether a completion through the Service of this leader's zone passed for the question; it is asked for.

        Without a launcher that is heard and can make one there is none to wait for.
        """
        voice = self._voices.get(uid)
        if voice is None or voice.heard is None or voice.heard.service_canary is None:
            return Proof.UNAVAILABLE
        voice.question, voice.wanted = question, self._clock()
        said = voice.heard.service_canary
        if said.question != question or said.passed is None:
            return Proof.PENDING
        return Proof.PASSED if said.passed else Proof.FAILED

    def queue(self, uid: str, seconds: float) -> Queue | None:
        """The requests in the engine of this pod, averaged over so many seconds; None when that can't be known yet."""
        voice, now = self._voices.get(uid), self._clock()
        if voice is None:
            return None
        if voice.mean is None or voice.mean.seconds != seconds:
            voice.mean = Mean(seconds, now)
        return voice.mean.queue(now, fresh_seconds=max(FRESH_SECONDS, 3 * self.schedule.other_seconds))

    def _question(self, uid: str) -> str:
        voice = self._voices.get(uid)
        return voice.question if voice is not None and self._clock() - voice.wanted < ASKED_SECONDS else ""

    @property
    def oldest_seconds(self) -> float:
        """The greatest age of what was heard, over the launchers that are not silent; 0 without any."""
        spoken = [voice.at for voice in list(self._voices.values()) if voice.heard and not voice.quiet]
        return self._clock() - min(spoken) if spoken else 0.0

    @property
    def silent(self) -> int:
        """Launchers that gave no good answer when they were asked last."""
        return sum(voice.quiet for voice in list(self._voices.values()))

    async def run(self) -> None:
        """Ask for ever."""
        await self.asking.run()

    async def _ask(self, target: Target) -> None:
        if self._belongs(target.where, target.set_name):
            await self._listen(target)

    async def _listen(self, target: Target) -> None:
        began = self._clock()
        try:
            heard = parse(await self._read(target.address, self._question(target.uid)), pod_uid=target.uid)
        except SilentError:
            self._outcome("silent")
            self._unheard(target, began)
        except AnswerError as error:
            self._outcome("refused")
            voice = self._answered(target)
            if voice is not None and voice.owed:
                self._name(target, voice)
            if voice is not None and not voice.refused:
                voice.refused = True
                _log(target).warning("A launcher's answer is ignored", reason=str(error))
        else:
            self._outcome("ok")
            self._take_in(target, heard)

    def _unheard(self, target: Target, began: float) -> None:
        """What it said before still counts: one late answer must not change what is known."""
        voice = self._voice(target)
        if voice is None:
            return
        if not voice.silent:
            voice.silent, voice.failed = True, began
            # Of a zone that never answered somebody has to judge whether it is lost, or can't be reached from here.
            voice.owed = target.leads and (voice.answered is not None or self.schedule.is_sentinel(target))
        if voice.owed:
            self._name(target, voice)
        if self.schedule.is_sentinel(target):
            self.schedule.alarm(target, self._clock())

    def _answered(self, target: Target) -> _Voice | None:
        """Something came from it: whatever it says, it can be reached."""
        voice = self._voice(target)
        if voice is None:
            return None
        now = self._clock()
        if voice.silent or voice.answered is None:
            voice.steady = now
            voice.owed = voice.owed or (voice.answered is not None and target.leads)
        voice.silent, voice.answered = False, now
        if self.schedule.is_sentinel(target):
            self.schedule.calm(target.where, target.set_name)
        return voice

    def _take_in(self, target: Target, heard: Heard) -> None:
        voice = self._answered(target)
        if voice is None:
            return
        news = is_news(voice.heard, heard) or voice.owed
        voice.heard, voice.at, voice.refused = heard, self._clock(), False
        if voice.mean is not None and heard.requests is not None:
            voice.mean.add(heard.requests, voice.at)
        if news:
            self._name(target, voice)

    def _name(self, target: Target, voice: _Voice) -> None:
        """Name the resource, now or as soon as the pod may."""
        voice.owed = not self._has_credit(voice)
        if not voice.owed:
            self._changed(target.where)

    def _voice(self, target: Target) -> _Voice | None:
        """None when the pod went while it was asked."""
        if target.uid not in self.schedule:
            return None
        voice = self._voices.get(target.uid)
        if voice is None:
            now = self._clock()
            voice = self._voices[target.uid] = _Voice(credited=now, asked=now, steady=now)
        return voice

    def _has_credit(self, voice: _Voice) -> bool:
        now = self._clock()
        voice.credit = min(float(NEWS_BURST), voice.credit + (now - voice.credited) / NEWS_SECONDS)
        voice.credited = now
        if voice.credit < 1.0:
            return False
        voice.credit -= 1.0
        return True


def _log(target: Target) -> structlog.stdlib.BoundLogger:
    """Whose lines say of which pod they speak."""
    namespace, name = target.where
    bound: structlog.stdlib.BoundLogger = structlog.get_logger().bind(namespace=namespace, name=name, pod=target.pod)
    return bound
