"""The net under the watches: what the store keeps is compared with lists, whatever the event streams lost.

Only metadata is listed, one kind after the other, spread over the period; an object whose version differs is read and
one that is not listed is gone. The store wakes the resources that this concerns, and at rest there are none.
"""

import asyncio
import time

import structlog

from trireme_operator.controller.feed import selector
from trireme_operator.controller.store import Store, Stream, Where
from trireme_operator.kube import KubeApi, KubeError, NotFound

SHORTEST_SECONDS = 45.0
LONGEST_SECONDS = 450.0
_SHARE = 1 / 200
"""At most so much of the time is spent on it: a round that takes a second comes every 200 s."""


async def resync(api: KubeApi, store: Store, *, shortest_seconds: float = SHORTEST_SECONDS) -> None:
    """For ever. `api` must tell the store what it reads (`RecordingApi`)."""
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


async def compare(api: KubeApi, store: Store, stream: Stream) -> None:
    """Correct one stream of the store. Raises what the list raises."""
    found: set[Where] = set()
    behind: list[Where] = []
    version = ""
    async for page in api.pages(stream.kind, stream.namespace, labels=selector(stream.kind), metadata_only=True):
        version = page.version
        metadata = [item["metadata"] for item in page.items]
        found.update((item["namespace"], item["name"]) for item in metadata)
        behind += store.behind(stream, metadata)
        await asyncio.sleep(0)
    for namespace, name in behind:
        try:
            await api.get(stream.kind, namespace, name)
        except NotFound:
            continue
    store.listed(stream, found, int(version))
