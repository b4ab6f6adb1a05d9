"""Asks each target when its schedule says so, each in a task of its own: no target delays or ends another one's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from trireme_operator.collector.schedule import Schedule
from trireme_operator.collector.targets import Target


class Asking:
    """Belongs to one event loop. `clock` is the one by which the schedule's times are."""

    def __init__(
        self, schedule: Schedule, ask: Callable[[Target], Awaitable[None]], clock: Callable[[], float]
    ) -> None:
        self._schedule = schedule
        self._ask = ask
        self._clock = clock
        self._woken = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Somebody may be due earlier than was thought."""
        self._woken.set()

    async def run(self) -> None:
        """For ever."""
        try:
            while True:
                self._woken.clear()
                for target in self._schedule.take(self._clock()):
                    task = asyncio.create_task(self.one(target))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._schedule.wait_seconds(self._clock())):
                        await self._woken.wait()
        finally:
            for task in self._tasks:
                task.cancel()

    async def one(self, target: Target) -> None:
        """Ask a target that was taken from the schedule."""
        try:
            await self._ask(target)
        except Exception:  # nothing that a pod answers may end the process
            namespace, name = target.where
            log = structlog.get_logger().bind(namespace=namespace, name=name)
            log.exception("Reading a launcher failed", pod=target.pod)
        finally:
            self._schedule.done(target, self._clock())
            self.wake()
