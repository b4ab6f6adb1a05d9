"""What every layer over a `KubeApi` has in common: reads pass."""

from collections.abc import AsyncIterator

from trireme_operator.kube.kinds import Kind
from trireme_operator.kube.protocol import KubeApi, Obj, Page


class Reading:
    """The reads of another `KubeApi`; a layer adds its writes."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """See `KubeApi.get`."""
        return await self._api.get(kind, namespace, name)

    async def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> list[Obj]:
        """See `KubeApi.list`."""
        return await self._api.list(kind, namespace, labels=labels)

    def pages(
        self, kind: Kind, namespace: str | None, *, labels: str = "", metadata_only: bool = False
    ) -> AsyncIterator[Page]:
        """See `KubeApi.pages`."""
        return self._api.pages(kind, namespace, labels=labels, metadata_only=metadata_only)
