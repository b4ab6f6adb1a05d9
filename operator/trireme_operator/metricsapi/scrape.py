"""Reads ``/metrics`` of the leaders' launchers (docs/contract.md) with bounded fan-out; keeps the queue's length."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from trireme_operator.collector.asking import Asking
from trireme_operator.collector.client import SilentError
from trireme_operator.collector.schedule import Schedule
from trireme_operator.collector.statusz import AnswerError
from trireme_operator.collector.targets import Target
from trireme_operator.metricsapi.leaders import Leaders
from trireme_operator.planning import QUEUE_LENGTH

INTERVAL_SECONDS: Final = 2.0
"""Between two reads of a leader, while there are no more than the budget of reads allows."""
FRESH_SECONDS: Final = 15.0
"""An HPA's period: what is older says nothing about now. Longer where leaders are too many to be asked that often."""
_MISSED_READS: Final = 3
_INFO: Final = b"\ntrireme_launcher_info{"
_INFO_LIMIT: Final = 4096
_POD: Final = re.compile(rb'[{,]pod="([^"]*)"')
_READY: Final = b'\ntrireme_launcher_stage{stage="Ready"} 1\n'
_VALUE: Final = re.compile(rb"\n%b ([0-9]{1,12})\n" % QUEUE_LENGTH.encode())

ReadFn = Callable[[str], Awaitable[bytes]]
"""The body of ``/metrics`` at an address. Raises SilentError and AnswerError."""


def queue_length(body: bytes, *, pod: str) -> int | None:
    """Requests that wait and run at the leader of this name; None when it is not in rotation, or does not know.

    Raises AnswerError when somebody else answers. Nothing is done line by line: an answer may be large and hostile, and
    while it is read nobody is answered.
    """
    text = b"\n" + body + b"\n"
    at = text.find(_INFO)
    name = _POD.search(text[at : text.find(b"\n", at + 1)][:_INFO_LIMIT]) if at >= 0 else None
    if name is None or name[1] != pod.encode():
        raise AnswerError("another pod answers at this address")
    value = _VALUE.search(text) if _READY in text else None
    return None if value is None else int(value[1])


class Scraper:
    """Pods come by `see` and go by `forget`; `run` asks their leaders. It belongs to one event loop."""

    def __init__(
        self,
        leaders: Leaders,
        read: ReadFn,
        *,
        outcome: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.leaders = leaders
        self.schedule = Schedule(sentinel_seconds=INTERVAL_SECONDS, other_seconds=INTERVAL_SECONDS)
        self._read = read
        self._outcome = outcome
        self._clock = clock
        self.asking = Asking(self.schedule, self._ask, clock)

    @property
    def since(self) -> float:
        """What was read before this moment is stale."""
        longest = max(self.schedule.sentinel_seconds, self.schedule.other_seconds)
        return self._clock() - max(FRESH_SECONDS, _MISSED_READS * longest)

    def see(self, pod: dict[str, Any]) -> None:
        """A pod as the API server shows it."""
        target = self.leaders.see(pod)
        if target is None:
            self.schedule.drop(pod["metadata"]["uid"], self._clock())
        else:
            self.schedule.put(target, self._clock())
            self.asking.wake()

    def forget(self, uid: str) -> None:
        """A pod is gone."""
        self.leaders.forget(uid)
        self.schedule.drop(uid, self._clock())

    async def run(self) -> None:
        """Ask for ever."""
        await self.asking.run()

    async def _ask(self, target: Target) -> None:
        pod = target.pod  # a leader's
        began = self._clock()
        try:
            self.leaders.said(target, queue_length(await self._read(target.address), pod=pod), began)
            self._outcome("ok")
        except SilentError:
            self._outcome("silent")
        except AnswerError as error:
            self._outcome("refused")
            self.leaders.said(target, None, began)
            log = structlog.get_logger().bind(namespace=target.where[0], pod=pod)
            log.debug("A leader's answer is ignored", reason=str(error))
