"""A store as it is after every stream was read once."""

from collections.abc import Callable

from trireme_operator.controller.feed import read
from trireme_operator.controller.queue import Key
from trireme_operator.controller.store import KINDS, Store, Stream
from trireme_operator.kube import ApiMissing, Forbidden, KubeApi


def ignored(_: Key) -> None:
    """For tests that do not look at who is woken."""


async def filled(api: KubeApi, changed: Callable[[Key], None] = ignored) -> Store:
    """The store of a process that has just started on this API."""
    store = Store([Stream(kind, None) for kind in KINDS], changed)
    for stream in store.streams:
        try:
            await read(api, store, stream)
        except ApiMissing:
            store.unserved(stream)
        except Forbidden as error:
            store.refused(stream, error)
    assert store.ready.is_set()
    return store
