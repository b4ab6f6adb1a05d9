"""At a start, whoever seems to need something is reconciled before everything was listed.

The lists of a thousand resources take seconds, and nearly all of that is what their children say. Whether a resource
was edited, or has lost groups, while nobody was there, takes less: the resources themselves, and the names of their
LeaderWorkerSets. A resource that is found so is listed alone, by its children's label, after which the store has all
that a reconcile of it reads. (A child that lost its label is not among it: its name is taken then, and it is read.)

It is an order and nothing else: whoever is missed, or has lists that fail, waits for the lists of everything, and
when those are through each resource is looked at in any case.
"""

import asyncio
from collections import Counter

import structlog

from trireme_operator.api.labels import LABEL_CLUSTER
from trireme_operator.controller.feed import selector
from trireme_operator.controller.lacking import lacks
from trireme_operator.controller.queue import Key
from trireme_operator.controller.store import Store
from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET, ApiMissing, Forbidden, KubeApi, KubeError

MOST = 16
"""So many resources at most: each takes a list of every kind, and the others wait."""
LIMIT_SECONDS = 5.0
"""A slow API server has other things to do then."""


async def head_start(api: KubeApi, store: Store) -> None:
    """Have those who seem to need it looked at; returns when the other lists may begin.

    The resources are listed meanwhile, by their feed: an API server has more than one processor.
    """
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            sets = await _sets(api, store)
            await store.resources_read.wait()
            lacking = [key for key in store.resources() if lacks(store.resource(key) or {}, sets[key])]
            await asyncio.gather(*(_look(api, store, key) for key in lacking[:MOST]))
    except ApiMissing:
        return  # nothing can be brought about without LeaderWorkerSets, and their feed says so
    except (KubeError, TimeoutError) as error:
        reason = str(error) or f"no answer within {LIMIT_SECONDS:g} s"
        structlog.get_logger().warning("Looking ahead failed", reason=reason)


async def _sets(api: KubeApi, store: Store) -> Counter[Key]:
    """How many LeaderWorkerSets each resource has, by their metadata alone."""
    found: Counter[Key] = Counter()
    for stream in store.streams:
        if stream.kind != LEADER_WORKER_SET:
            continue
        labels = selector(stream.kind)
        async for page in api.pages(stream.kind, stream.namespace, labels=labels, metadata_only=True):
            for item in page.items:
                metadata = item["metadata"]
                name = (metadata.get("labels") or {}).get(LABEL_CLUSTER)
                found[Key(metadata["namespace"], name or "")] += not metadata.get("deletionTimestamp")
    return found


async def _look(api: KubeApi, store: Store, key: Key) -> None:
    """Take in all that belongs to one resource, and have it reconciled."""
    streams = [stream for stream in store.streams if stream.covers((key.namespace, ""))]
    for stream in streams:
        if stream.kind == INFERENCE_CLUSTER:
            continue
        try:
            items = await api.list(stream.kind, key.namespace, labels=f"{LABEL_CLUSTER}={key.name}")
        except ApiMissing:
            store.unserved(stream)
        except Forbidden as error:
            store.refused(stream, error)
        else:
            for obj in items:
                store.see(stream.kind, None, obj)
    store.known(key)
