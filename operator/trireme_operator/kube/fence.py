"""The right to write, which ends by itself.

Only the holder of the Lease may write, and it may have lost the Lease without knowing: frozen for a minute, cut off,
starved. So the right has an end in time, which only a renewal moves, and it is asked for twice: before a call is
made (`FencedApi`), and once more when its bytes are about to leave (`tracing`), because a process can be frozen in
between, or wait there for a connection. What is left are the writes of one turn of the event loop, which uvloop hands
to the kernel at the turn's end, some milliseconds: those of a process that is frozen just then leave when it goes on.
The next holder's watch sees what they did, and mends it.

The clock goes on while the process is stopped or the machine suspended (CLOCK_BOOTTIME), and nobody sets it.
"""

import time
from collections.abc import Callable
from typing import Any

import aiohttp

from trireme_operator.kube.kinds import Kind
from trireme_operator.kube.protocol import KubeApi, Obj
from trireme_operator.kube.reading import Reading


class NotLeading(Exception):  # noqa: N818 - nothing failed: the call was not made
    """The process may not write now.

    No `KubeError` on purpose: whoever deals with failed calls one by one must not go on to the next one.
    """


def boot_seconds() -> float:
    """Seconds since the machine was started, those of its sleep included; the best there is elsewhere."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Fence:
    """Open until a moment of its clock; closed at first."""

    def __init__(self, clock: Callable[[], float] = boot_seconds) -> None:
        self.clock = clock
        self._until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether a write may begin now."""
        return self.clock() < self._until

    def open(self, *, until: float = float("inf")) -> None:
        """Let writes begin until this moment."""
        self._until = until

    def close(self) -> None:
        """Let none begin from now on."""
        self._until = float("-inf")

    def check(self) -> None:
        """Raises NotLeading when no write may begin."""
        if not self.is_open:
            raise NotLeading("this process does not hold the Lease (any more), so it writes nothing")


class FencedApi(Reading):
    """A `KubeApi` that begins no write while its fence is closed: it raises NotLeading. Reads pass."""

    def __init__(self, api: KubeApi, fence: Fence) -> None:
        super().__init__(api)
        self._fence = fence

    async def apply(
        self, kind: Kind, obj: Obj, *, manager: str, force: bool = True, subresource: str | None = None
    ) -> Obj:
        """See `KubeApi.apply`; also raises NotLeading."""
        self._fence.check()
        return await self._api.apply(kind, obj, manager=manager, force=force, subresource=subresource)

    async def patch_status(self, kind: Kind, obj: Obj, *, manager: str) -> Obj:
        """See `KubeApi.patch_status`; also raises NotLeading."""
        self._fence.check()
        return await self._api.patch_status(kind, obj, manager=manager)

    async def merge(self, kind: Kind, obj: Obj, *, manager: str) -> Obj:
        """See `KubeApi.merge`; also raises NotLeading."""
        self._fence.check()
        return await self._api.merge(kind, obj, manager=manager)

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str, grace_seconds: int | None = None
    ) -> None:
        """See `KubeApi.delete`; also raises NotLeading."""
        self._fence.check()
        await self._api.delete(kind, namespace, name, uid=uid, grace_seconds=grace_seconds)


def tracing(fence: Fence) -> aiohttp.TraceConfig:
    """What makes an aiohttp session ask the fence at the last moment: when a body is about to leave.

    Every write has a body and no read has one. aiohttp tells the caller "failed to send", a ClientError.
    """

    async def about_to_send(*_: Any) -> None:
        fence.check()

    config = aiohttp.TraceConfig()
    config.on_request_chunk_sent.append(about_to_send)
    return config
