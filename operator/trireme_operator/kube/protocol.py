"""The boundary between the operator and any Kubernetes client."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from trireme_operator.kube.kinds import Kind

Obj = dict[str, Any]
"""A Kubernetes object as the API server speaks it: plain dicts, lists, strings, integers and booleans."""

CallObserverFn = Callable[[str, str, str, float], None]
"""Called after each request with verb, plural, outcome (a status code or "unreachable") and seconds."""


@dataclass(frozen=True)
class Page:
    """A part of a collection; `version` is the resourceVersion of the whole, the same on every page."""

    items: list[Obj]
    version: str


class KubeApi(Protocol):
    """The verbs. Every one raises the errors of `trireme_operator.kube.errors` and nothing else."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """Read one object. Raises NotFound, or ApiMissing when the kind is not served."""
        ...

    async def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> list[Obj]:
        """Read a collection (every namespace for None). Raises ApiMissing when the kind is not served."""
        ...

    def pages(
        self, kind: Kind, namespace: str | None, *, labels: str = "", metadata_only: bool = False
    ) -> AsyncIterator[Page]:
        """Read a collection as `list`, never holding more than a page of it.

        With `metadata_only` an item is nothing but its `metadata`.
        """
        ...

    async def apply(
        self, kind: Kind, obj: Obj, *, manager: str, force: bool = True, subresource: str | None = None
    ) -> Obj:
        """Server-side apply with strict field validation; returns the object as it stands now.

        With `metadata.resourceVersion` it is only done while the object stands at that version or does not exist.
        Raises Invalid for an unknown field, Conflict for an owned one without `force` or for another version.
        """
        ...

    async def patch_status(self, kind: Kind, obj: Obj, *, manager: str) -> Obj:
        """Apply `obj.status` to the status subresource. Raises Conflict when `obj.metadata.uid` is another's."""
        ...

    async def merge(self, kind: Kind, obj: Obj, *, manager: str) -> Obj:
        """JSON merge patch of what `obj` says: a list is replaced as a whole, whoever owns its items.

        Raises Conflict when `obj.metadata` has another UID or resourceVersion than the object.
        """
        ...

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str, grace_seconds: int | None = None
    ) -> None:
        """Delete the object of this UID in the background. Raises NotFound, or Conflict for another UID.

        `grace_seconds` replaces the object's own grace period; with 0 the API server waits for nobody.
        """
        ...
