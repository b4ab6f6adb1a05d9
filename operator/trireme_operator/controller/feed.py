"""What fills the store: each kind is listed once and then watched, with kopf's client and its reconnecting streams.

kopf would hand every event to a task and a memory of its own for each object; at a thousand resources, which are
seventeen thousand objects, that alone costs seconds and 50 MB. So its streams are read here directly. The entry point
is private, which the pinned version and the integration tests make bearable.

A stream that has gone silent cannot be told from one on which nothing happens. So each is opened anew after half a
minute, and not from where its bookmarks say that it is, but from the last event that really came, or from where it
stood when the silent stream began: what the silence has swallowed comes again.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol, cast

import aiohttp
import kopf
import structlog
from kopf._cogs.clients.errors import APIError
from kopf._cogs.clients.watching import watch_objs
from kopf._cogs.structs.references import NamespaceName

from trireme_operator.api.labels import LABEL_CLUSTER, MANAGED_BY
from trireme_operator.controller.scope import OPTIONAL_KINDS
from trireme_operator.controller.store import Stream, Where
from trireme_operator.kube import (
    INFERENCE_CLUSTER,
    NODE,
    POD,
    ApiMissing,
    Forbidden,
    Kind,
    KubeApi,
    KubeError,
    Obj,
    ServerError,
)

STREAM_SECONDS = 30
"""How long a stream lasts; what a silent one has swallowed comes with the next."""
RETRY_SECONDS = 1.0
ABSENT_SECONDS = 10.0
"""How soon to ask again for a kind that has not been served for a while, or may not be read."""
_QUICK_LOOKS = 60
"""So often a kind that is not served is asked for each second: it is probably being installed."""
GIVE_UP_SECONDS = 300.0
"""So long without an answer, and a new process may fare better."""


class Sink(Protocol):
    """Who is told what a stream says: the store, or whoever keeps less of it."""

    paging: asyncio.Semaphore

    def see(self, kind: Kind, event: str | None, obj: Obj) -> None:
        """See `Store.see`."""
        ...

    def listed(self, stream: Stream, found: Collection[Where], version: int) -> None:
        """See `Store.listed`."""
        ...

    def unserved(self, stream: Stream) -> None:
        """See `Store.unserved`."""
        ...

    def refused(self, stream: Stream, error: KubeError) -> None:
        """See `Store.refused`."""
        ...

    def set_aside(self, stream: Stream, error: KubeError) -> None:
        """See `Store.set_aside`."""
        ...


def selector(kind: Kind) -> str:
    """Which objects of a kind are watched. Pods carry the labels of their template, which the contract names."""
    if kind in {INFERENCE_CLUSTER, NODE}:
        return ""
    return LABEL_CLUSTER if kind == POD else "=".join(MANAGED_BY)


def stream_settings() -> kopf.OperatorSettings:
    """Settings of kopf's client for the streams. It does not retry: what to do after a failure is decided here."""
    settings = kopf.OperatorSettings()
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = ()
    settings.watching.server_timeout = STREAM_SECONDS
    settings.watching.client_timeout = STREAM_SECONDS + 10
    settings.watching.connect_timeout = 30
    return settings


async def read(api: KubeApi, store: Sink, stream: Stream) -> str:
    """List a stream into the store; returns the version to watch from. Raises what the list raises."""
    found: set[Where] = set()
    version = ""
    pages = aiter(api.pages(stream.kind, stream.namespace, labels=selector(stream.kind)))
    while True:
        async with store.paging:
            page = await anext(pages, None)
            for obj in page.items if page is not None else ():
                found.add((obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))
                store.see(stream.kind, None, obj)
        if page is None:
            break
        version = page.version
    store.listed(stream, found, int(version))
    return version


@dataclass
class Feed:
    """Keeps one stream of the store up to date; `saw` is called with the kind and type of each event."""

    stream: Stream
    api: KubeApi
    store: Sink
    saw: Callable[[str, str], None]

    def __post_init__(self) -> None:
        kind = self.stream.kind
        self._settings = stream_settings()
        self._settings.watching.label_selectors[kind.group, kind.version, kind.plural] = selector(kind)
        self._resource = kopf.Resource(kind.group, kind.version, kind.plural, kind=kind.kind, namespaced=kind != NODE)

    async def run(self) -> None:
        """For ever. Raises when the API server has not answered for five minutes."""
        looks, answered = _QUICK_LOOKS, time.monotonic()
        while True:
            try:
                version = await read(self.api, self.store, self.stream)
                looks, answered = _QUICK_LOOKS, time.monotonic()
                await self._follow(version)
                continue
            except ApiMissing:
                self.store.unserved(self.stream)
                looks, answered = looks - 1, time.monotonic()
            except Forbidden as error:
                structlog.get_logger().warning("Listing is refused", kind=str(self.stream.kind), reason=str(error))
                self.store.refused(self.stream, error)
                looks, answered = 0, time.monotonic()
            except (KubeError, APIError, aiohttp.ClientError, OSError) as error:
                structlog.get_logger().warning("Watching failed", kind=str(self.stream.kind), reason=str(error))
                if isinstance(error, ServerError) and self.stream.kind in OPTIONAL_KINDS:
                    # The server is there, and this kind is broken (its conversion, say): nothing waits for it.
                    answered = time.monotonic()
                    self.store.set_aside(self.stream, error)
                if time.monotonic() - answered > GIVE_UP_SECONDS:
                    raise
                looks = _QUICK_LOOKS
            await asyncio.sleep(RETRY_SECONDS if looks > 0 else ABSENT_SECONDS)

    async def _follow(self, version: str) -> None:
        """Watch; returns when the API server does not know the version any more."""
        since = began = version
        while True:
            opened = time.monotonic()
            told, latest = await self._one_stream(since, began)
            if latest is None:
                return
            since, began = told or began, latest
            if time.monotonic() - opened < RETRY_SECONDS:
                await asyncio.sleep(RETRY_SECONDS)  # it ended at once: the connection failed, which kopf does not tell

    async def _one_stream(self, since: str, began: str) -> tuple[str | None, str | None]:
        """Until it ends; returns the version of the last event and the latest version (None: too old to go on)."""
        told, latest = None, began
        forever: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async for event in watch_objs(
            settings=self._settings,
            resource=self._resource,
            namespace=cast("NamespaceName | None", self.stream.namespace),
            since=since,
            operator_pause_waiter=forever,
        ):
            kind, version = self._take(cast("dict[str, Any]", event))
            if kind == "ERROR":
                return None, None
            latest = version
            if kind != "BOOKMARK":
                told = latest
        return told, latest

    def _take(self, event: dict[str, Any]) -> tuple[str, str]:
        """Tell the store of an event; returns its type and version ("" of an error).

        kopf holds on to each event until the next one comes, perhaps for ever: without its object it is small.
        """
        kind, obj = str(event["type"]), cast("Obj", event.pop("object"))
        if kind == "ERROR":
            return kind, ""
        if kind != "BOOKMARK":
            self.saw(self.stream.kind.plural, kind)
            self.store.see(self.stream.kind, kind, obj)
        return kind, str(obj["metadata"]["resourceVersion"])
