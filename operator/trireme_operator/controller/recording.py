"""The API with a memory: every write is remembered in the store as the API server answered it."""

from collections.abc import AsyncIterator

from trireme_operator.controller.store import KINDS, Store
from trireme_operator.kube import Kind, KubeApi, NotFound, Obj, Page


class RecordingApi:
    """A `KubeApi` that tells the store of what it read and wrote; kinds that are not kept there just pass."""

    def __init__(self, api: KubeApi, store: Store) -> None:
        self._api = api
        self._store = store

    async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """See `KubeApi.get`."""
        try:
            live = await self._api.get(kind, namespace, name)
        except NotFound:
            if kind in KINDS:
                self._store.absent(kind, (namespace, name))
            raise
        if kind in KINDS:
            self._store.see(kind, None, live)
        return live

    async def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> list[Obj]:
        """See `KubeApi.list`."""
        return await self._api.list(kind, namespace, labels=labels)

    def pages(
        self, kind: Kind, namespace: str | None, *, labels: str = "", metadata_only: bool = False
    ) -> AsyncIterator[Page]:
        """See `KubeApi.pages`."""
        return self._api.pages(kind, namespace, labels=labels, metadata_only=metadata_only)

    async def apply(
        self, kind: Kind, obj: Obj, *, manager: str, force: bool = True, subresource: str | None = None
    ) -> Obj:
        """See `KubeApi.apply`."""
        if kind not in KINDS:
            return await self._api.apply(kind, obj, manager=manager, force=force, subresource=subresource)
        metadata = obj["metadata"]
        with self._store.writing(kind, (metadata["namespace"], metadata["name"])):
            live = await self._api.apply(kind, obj, manager=manager, force=force, subresource=subresource)
            self._store.wrote(kind, live)
        return live

    async def patch_status(self, kind: Kind, obj: Obj, *, manager: str) -> Obj:
        """See `KubeApi.patch_status`."""
        return await self.apply(kind, obj, manager=manager, subresource="status")

    async def merge(self, kind: Kind, obj: Obj, *, manager: str) -> Obj:
        """See `KubeApi.merge`."""
        if kind not in KINDS:
            return await self._api.merge(kind, obj, manager=manager)
        metadata = obj["metadata"]
        with self._store.writing(kind, (metadata["namespace"], metadata["name"])):
            live = await self._api.merge(kind, obj, manager=manager)
            self._store.wrote(kind, live)
        return live

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """See `KubeApi.delete`."""
        try:
            await self._api.delete(kind, namespace, name, uid=uid)
        except NotFound:
            if kind in KINDS:
                self._store.absent(kind, (namespace, name))
            raise
        if kind in KINDS:
            self._store.ending(kind, (namespace, name), uid)
