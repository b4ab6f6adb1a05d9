"""The net under the watches: every resource is found again by a plain list, whatever the event streams lost.

A known key comes back by its own timer; this finds the keys whose first event never came.
"""

import asyncio
from collections.abc import Sequence

import structlog

from trireme_operator.controller.queue import Key, KeyedQueue
from trireme_operator.kube import INFERENCE_CLUSTER, ApiMissing, KubeApi, KubeError

RELIST_SECONDS = 300.0


async def relist(
    api: KubeApi, queue: KeyedQueue, *, namespaces: Sequence[str], every_seconds: float = RELIST_SECONDS
) -> None:
    """Add unknown resources to the queue, for ever; no namespaces means all."""
    while True:
        await asyncio.sleep(every_seconds)
        for namespace in namespaces or (None,):
            try:
                found = await api.list(INFERENCE_CLUSTER, namespace)
            except ApiMissing:
                continue
            except KubeError as error:
                structlog.get_logger().warning("Listing resources failed", reason=str(error))
                continue
            known = set(queue.known())
            for obj in found:
                key = Key(obj["metadata"]["namespace"], obj["metadata"]["name"])
                if key not in known:
                    queue.add(key)
