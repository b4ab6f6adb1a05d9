"""The leanest client of the API server: bytes out, bytes in, and streams of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from trireme_operator.kube import Kind, Obj, connect
from trireme_operator.kube.connection import ABANDONED_ARE_ENDED

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
_EVENT_BYTES = 2**22


class RefusedError(RuntimeError):
    """The API server refused a request of the bench; the message has its answer."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status
        """Of HTTP."""


class Client:
    """One user of the API server; made by `connected`."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server

    async def send(self, method: str, path: str, body: bytes = b"", *, content_type: str = "application/json") -> bytes:
        """One request. Raises RefusedError for any answer but success."""
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        async with self._session.request(method, self._server + path, data=body or None, headers=headers) as answer:
            raw = await answer.read()
            if not answer.ok:
                text = f"{method} {path}: {answer.status} {raw[:1000].decode(errors='replace')}"
                raise RefusedError(text, status=answer.status)
            return raw

    async def get(self, path: str) -> Obj:
        found: Obj = json.loads(await self.send("GET", path))
        return found

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        """As `kubectl create`; returns what was stored."""
        whole = {"apiVersion": kind.api_version, "kind": kind.kind} | obj
        path = kind.path(obj["metadata"].get("namespace"))
        stored: Obj = json.loads(await self.send("POST", path, json.dumps(whole).encode()))
        return stored

    async def merge(self, path: str, patch: Obj) -> None:
        """As `kubectl patch --type merge`, or as a controller that writes a status."""
        await self.send("PATCH", path, json.dumps(patch).encode(), content_type=MERGE)

    async def watch(self, kind: Kind, labels: str, see: Callable[[Kind, Obj], None], began: asyncio.Event) -> None:
        """Hand every event from now on to ``see``; ``began`` is set when none can be missed any more.

        The API server ends the stream of a reader that is too slow for a burst; it goes on after the last event.
        """
        query = {"labelSelector": labels} if labels else {}
        page = await self.get(f"{kind.path()}?{urlencode({**query, 'limit': '1'})}")
        version = page["metadata"]["resourceVersion"]
        query |= {"watch": "true", "timeoutSeconds": "7200"}
        forever = aiohttp.ClientTimeout(total=None)
        while True:
            path = f"{kind.path()}?{urlencode(query | {'resourceVersion': version})}"
            async with self._session.get(f"{self._server}{path}", timeout=forever) as stream:
                if not stream.ok:
                    raise RefusedError(f"watch of {kind}: {stream.status} {await stream.text()}", status=stream.status)
                began.set()
                async for line in stream.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        told = event["object"]
                        raise RefusedError(f"watch of {kind}: {told.get('message')}", status=int(told.get("code", 0)))
                    version = event["object"]["metadata"]["resourceVersion"]
                    see(kind, event)


def apply_path(kind: Kind, namespace: str, name: str, manager: str, subresource: str | None = None) -> str:
    """Path and query of a server-side apply as the operator sends it."""
    query = urlencode({"fieldManager": manager, "fieldValidation": "Strict", "force": "true"})
    return f"{kind.path(namespace, name, subresource)}?{query}"


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[Client]:
    """A client with the identity of a kubeconfig."""
    known: Any = await connect(kubeconfig)
    connector = aiohttp.TCPConnector(
        ssl=known.rest_client.ssl_context, limit=0, limit_per_host=0, enable_cleanup_closed=ABANDONED_ARE_ENDED
    )
    timeout = aiohttp.ClientTimeout(total=120)
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=_EVENT_BYTES) as session:
            yield Client(session, known.configuration.host)
    finally:
        await known.close()
