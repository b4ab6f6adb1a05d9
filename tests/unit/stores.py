"""A store as it is after every stream was read once."""

import asyncio
import contextlib
from collections.abc import Callable

from trireme_operator.controller.feed import read
from trireme_operator.controller.queue import Key
from trireme_operator.controller.store import KINDS, Store, Stream
from trireme_operator.kube import ApiMissing, Forbidden, KubeApi, TooManyRequests

_TRIES, _PAUSE_SECONDS = 20, 0.5
"""An API server answers 429 for a kind whose definition has just changed, and feeds ask again."""


def ignored(_: Key) -> None:
    """For tests that do not look at who is woken."""


async def filled(api: KubeApi, changed: Callable[[Key], None] = ignored, *, namespace: str | None = None) -> Store:
    """The store of a process that has just started on this API, and that serves one namespace or all."""
    store = Store([Stream(kind, namespace) for kind in KINDS], changed)
    for stream in store.streams:
        try:
            await _read(api, store, stream)
        except ApiMissing:
            store.unserved(stream)
        except Forbidden as error:
            store.refused(stream, error)
    assert store.ready.is_set()
    return store


async def _read(api: KubeApi, store: Store, stream: Stream) -> None:
    for _ in range(_TRIES):
        with contextlib.suppress(TooManyRequests):
            await read(api, store, stream)
            return
        await asyncio.sleep(_PAUSE_SECONDS)
    await read(api, store, stream)
