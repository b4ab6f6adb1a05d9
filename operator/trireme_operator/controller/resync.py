"""The net under the watches: what the store keeps is compared with lists, whatever the event streams lost.

Only metadata is listed, one kind after the other, spread over the period. Where a version differs, and still does when
the watch has had time to bring it, the objects are listed whole; what is not listed is gone. The store wakes the
resources that this concerns, and at rest there are none.
"""

import asyncio
import time

import structlog

from trireme_operator.controller.feed import read, selector
from trireme_operator.controller.store import Store, Stream, Where
from trireme_operator.kube import KubeApi, KubeError, Obj

SHORTEST_SECONDS = 45.0
LONGEST_SECONDS = 450.0
PATIENCE_SECONDS = 2.0
_SHARE = 1 / 200
"""At most so much of the time is spent on it: a round that takes a second comes every 200 s."""


async def resync(api: KubeApi, store: Store, *, shortest_seconds: float = SHORTEST_SECONDS) -> None:
    """For ever."""
    await store.ready.wait()
    period = shortest_seconds
    while True:
        spent = 0.0
        for stream in store.streams:
            await asyncio.sleep(period / len(store.streams))
            began = time.monotonic()
            if store.is_read(stream):
                try:
                    await compare(api, store, stream)
                except KubeError as error:
                    structlog.get_logger().warning("Comparing failed", kind=str(stream.kind), reason=str(error))
            spent += time.monotonic() - began
        period = min(max(shortest_seconds, spent / _SHARE), LONGEST_SECONDS)


async def compare(api: KubeApi, store: Store, stream: Stream, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Correct one stream of the store. Raises what the lists raise."""
    found: set[Where] = set()
    behind: list[Obj] = []
    version = ""
    labels = selector(stream.kind)
    async for page in api.pages(stream.kind, stream.namespace, labels=labels, metadata_only=True):
        version = page.version
        metadata = [item["metadata"] for item in page.items]
        found.update((item["namespace"], item["name"]) for item in metadata)
        behind += store.behind(stream, metadata)
        await asyncio.sleep(0)
    store.listed(stream, found, int(version))
    if behind:
        await asyncio.sleep(patience_seconds)
        lost = store.behind(stream, behind)
        if lost:
            structlog.get_logger().warning("Events were lost", kind=str(stream.kind), objects=len(lost))
            await read(api, store, stream)
