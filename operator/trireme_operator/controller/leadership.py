"""Which of several operators works: the one that holds the Lease. The others watch, and know what there is to do.

Losing the Lease ends nothing: the queue pauses, the fence closes by itself, and a reconcile that is under way stops at
its next write. A process that ended instead would be in back-off when an API server returns from a long absence.
"""

import asyncio
from collections.abc import Awaitable

import structlog

from trireme_operator.controller.metrics import Metrics
from trireme_operator.controller.queue import KeyedQueue
from trireme_operator.kube import Fence, KubeError, Lease
from trireme_operator.kube.lease import RENEW_SECONDS

LOOK_SECONDS = 0.5
"""Between two looks of one who waits, or whose renewal failed. A released Lease is followed this fast."""
RESIGN_LIMIT_SECONDS = 0.4


class Leadership:
    """Opens the fence and the queue while the Lease is held; for ever when there is none to hold."""

    def __init__(self, lease: Lease | None, fence: Fence, queue: KeyedQueue, metrics: Metrics) -> None:
        self._lease = lease
        self._fence = fence
        self._queue = queue
        self._metrics = metrics
        self._leading = False
        self._took_over = 0.0
        self._holder: str | None = None
        self._complaint = ""
        queue.pause()

    @property
    def led_for(self) -> float | None:
        """Seconds since this process took over, by the clock of the fence; None while it may not write."""
        leads = self._leading and self._fence.is_open
        return self._fence.clock() - self._took_over if leads else None

    async def run(self) -> None:
        """Hold the Lease, or try to, for ever."""
        if self._lease is None:
            self._fence.open()
            self._take_over("")
            await asyncio.Event().wait()
            return
        pause = 0.0
        while True:
            await asyncio.sleep(pause)
            pause = await self.step(self._lease)

    async def step(self, lease: Lease) -> float:
        """Ask once, and lead or not; returns the seconds until the next time."""
        until = None
        try:
            until = await lease.hold()
        except KubeError as error:
            self._complain(str(error))
        else:
            self._complaint = ""
            if until is None:
                self._fence.close()
            else:
                self._fence.open(until=until)
        if self._fence.is_open and not self._leading:
            self._take_over(lease.claim.identity)
        elif self._leading and not self._fence.is_open:
            self._step_down(lease.claim.identity)
        self._tell_holder(lease.holder)
        return LOOK_SECONDS if until is None else RENEW_SECONDS

    async def resign(self) -> None:
        """Begin no more writes, and give the Lease back; the process is about to end."""
        led = self._leading
        self._leading = False
        self._fence.close()
        self._queue.pause()
        if led and self._lease is not None:
            await _try(self._lease.release())

    def _take_over(self, identity: str) -> None:
        structlog.get_logger().info("Leading", identity=identity)
        self._leading, self._took_over = True, self._fence.clock()
        self._metrics.leader.set(1)
        self._queue.resume()

    def _step_down(self, identity: str) -> None:
        structlog.get_logger().warning("Not leading any more", identity=identity)
        self._leading = False
        self._metrics.leader.set(0)
        self._queue.pause()

    def _complain(self, reason: str) -> None:
        """Once for each cause: it is asked for twice a second."""
        if reason != self._complaint:
            structlog.get_logger().warning("Asking for the Lease failed", reason=reason, leading=self._leading)
        self._complaint = reason

    def _tell_holder(self, holder: str) -> None:
        if holder != self._holder and not self._leading:
            structlog.get_logger().info("Waiting for the Lease", holder=holder or "nobody")
        self._holder = holder


async def _try(release: Awaitable[None]) -> None:
    """The end does not wait for an API server that is gone: the Lease then ends by itself."""
    try:
        async with asyncio.timeout(RESIGN_LIMIT_SECONDS):
            await release
    except (KubeError, TimeoutError) as error:
        structlog.get_logger().warning("Giving the Lease back failed", reason=str(error) or "no answer")
