"""The API with a memory: every write is remembered in the store as the API server answered it."""

from collections.abc import Awaitable

from trireme_operator.controller.store import KINDS, Store
from trireme_operator.kube import Kind, KubeApi, NotFound, Obj, Reading


class RecordingApi(Reading):
    """A `KubeApi` that tells the store of what it read and wrote; kinds that are not kept there just pass."""

    def __init__(self, api: KubeApi, store: Store) -> None:
        super().__init__(api)
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

    async def apply(
        self, kind: Kind, obj: Obj, *, manager: str, force: bool = True, subresource: str | None = None
    ) -> Obj:
        """See `KubeApi.apply`."""
        applying = self._api.apply(kind, obj, manager=manager, force=force, subresource=subresource)
        return await self._recorded(kind, obj, applying)

    async def patch_status(self, kind: Kind, obj: Obj, *, manager: str) -> Obj:
        """See `KubeApi.patch_status`."""
        return await self.apply(kind, obj, manager=manager, subresource="status")

    async def merge(self, kind: Kind, obj: Obj, *, manager: str) -> Obj:
        """See `KubeApi.merge`."""
        return await self._recorded(kind, obj, self._api.merge(kind, obj, manager=manager))

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str, grace_seconds: int | None = None
    ) -> None:
        """See `KubeApi.delete`."""
        try:
            await self._api.delete(kind, namespace, name, uid=uid, grace_seconds=grace_seconds)
        except NotFound:
            if kind in KINDS:
                self._store.absent(kind, (namespace, name))
            raise
        if kind in KINDS:
            self._store.ending(kind, (namespace, name), uid)

    async def _recorded(self, kind: Kind, obj: Obj, writing: Awaitable[Obj]) -> Obj:
        """The answer to a write of `obj`, which is not under way before the store knows of it."""
        if kind not in KINDS:
            return await writing
        metadata = obj["metadata"]
        with self._store.writing(kind, (metadata["namespace"], metadata["name"])):
            live = await writing
            live["metadata"].pop("managedFields", None)  # half of a reconcile's memory, and nobody reads them
            self._store.wrote(kind, live)
        return live
