"""Asks the launchers and keeps what each said last.

It only ever adds knowledge: whoever wants to know whether a group is ready asks the pods, and finds the same with a
collector that hears nothing. Where an answer is news, the resource is named to `changed`; at rest nobody is.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from trireme_operator.collector.client import SilentError
from trireme_operator.collector.schedule import Schedule
from trireme_operator.collector.statusz import AnswerError, Heard, is_news, parse
from trireme_operator.collector.targets import Target, Where, target_of

NEWS_BURST = 8
NEWS_SECONDS = 10.0
"""A pod may name its resource so often in a row, and once in so many seconds after that: whatever it says."""

ReadFn = Callable[[str], Awaitable[bytes]]
"""The body of an answer from an address. Raises SilentError and AnswerError."""

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
    credit: float = NEWS_BURST
    credited: float = 0.0


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
        self._woken = asyncio.Event()
        self._reads: set[asyncio.Task[None]] = set()

    def see(self, pod: dict[str, Any]) -> None:
        """A pod as the API server shows it."""
        target = target_of(pod)
        if target is None:
            self.forget(pod["metadata"]["uid"])
            return
        self.schedule.put(target, self._clock())
        self._woken.set()

    def forget(self, uid: str) -> None:
        """A pod is gone; so is what it said."""
        self.schedule.drop(uid, self._clock())
        self._voices.pop(uid, None)

    def heard(self, uid: str) -> Heard | None:
        """What the launcher in the pod of this UID said last; None when it has not said anything yet."""
        voice = self._voices.get(uid)
        return None if voice is None else voice.heard

    @property
    def oldest_seconds(self) -> float:
        """The greatest age of what was heard, over the launchers that are not silent; 0 without any."""
        spoken = [voice.at for voice in list(self._voices.values()) if voice.heard is not None and not voice.silent]
        return self._clock() - min(spoken) if spoken else 0.0

    @property
    def silent(self) -> int:
        """Launchers that did not answer when they were asked last."""
        return sum(voice.silent for voice in list(self._voices.values()))

    async def run(self) -> None:
        """Ask for ever."""
        try:
            while True:
                self._woken.clear()
                for target in self.schedule.take(self._clock()):
                    task = asyncio.create_task(self._ask(target))
                    self._reads.add(task)
                    task.add_done_callback(self._reads.discard)
                wait = self.schedule.wait_seconds(self._clock())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._woken.wait()
        finally:
            for task in self._reads:
                task.cancel()

    async def _ask(self, target: Target) -> None:
        try:
            if self._belongs(target.where, target.set_name):
                await self._listen(target)
        except Exception:  # noqa: BLE001 - nothing that a pod answers may end the operator
            _log(target).exception("Reading a launcher failed")
        finally:
            self.schedule.done(target, self._clock())
            self._woken.set()

    async def _listen(self, target: Target) -> None:
        try:
            heard = parse(await self._read(target.address), pod_uid=target.uid)
        except SilentError:
            self._unheard(target, "silent")
        except AnswerError as error:
            voice = self._unheard(target, "refused")
            if voice is not None and not voice.refused:
                voice.refused = True
                _log(target).warning("A launcher's answer is ignored", reason=str(error))
        else:
            self._outcome("ok")
            self._take_in(target, heard)

    def _unheard(self, target: Target, outcome: str) -> _Voice | None:
        """What it said before still counts: one late answer must not change what is known."""
        self._outcome(outcome)
        voice = self._voice(target)
        if voice is not None:
            voice.silent = True
        return voice

    def _take_in(self, target: Target, heard: Heard) -> None:
        voice = self._voice(target)
        if voice is None:
            return
        news = is_news(voice.heard, heard) or voice.owed
        voice.heard, voice.at, voice.silent, voice.refused = heard, self._clock(), False, False
        if news:
            voice.owed = not self._has_credit(voice)
            if not voice.owed:
                self._changed(target.where)

    def _voice(self, target: Target) -> _Voice | None:
        """None when the pod went while it was asked."""
        if target.uid not in self.schedule:
            return None
        return self._voices.setdefault(target.uid, _Voice(credited=self._clock()))

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
    pod = f"{target.set_name}-{target.group}" + (f"-{target.worker}" if target.worker else "")
    bound: structlog.stdlib.BoundLogger = structlog.get_logger().bind(namespace=namespace, name=name, pod=pod)
    return bound
