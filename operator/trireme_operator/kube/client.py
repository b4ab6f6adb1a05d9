"""`KubeApi` on the asynchronous client of the official `kubernetes` package.

Only the transport of that package is used (connection pool, TLS, credentials): its typed models cost about ten times
the CPU of the dicts they are built from. Each call has a time limit, so that a silent server never holds a key.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import ConfigException

from trireme_operator.kube.errors import ServerError, Unreachable, from_response
from trireme_operator.kube.kinds import Kind
from trireme_operator.kube.protocol import CallObserverFn, Obj, Page

REQUEST_TIMEOUT_SECONDS = 20
_PAGE_SIZE = 100
"""Objects in one answer: a page of LeaderWorkerSets is about 1.5 MB of text, and ten times that as dicts."""
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class KubernetesApi:
    """The adapter; one a process, closed by whoever made it."""

    def __init__(
        self,
        client: ApiClient,
        *,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        observer: CallObserverFn | None = None,
    ) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._observer = observer

    async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """See `KubeApi.get`."""
        return await self._call("GET", kind, kind.path(namespace, name), is_object=True)

    async def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> list[Obj]:
        """See `KubeApi.list`; gives every item its `kind` and `apiVersion` back."""
        return [item async for page in self.pages(kind, namespace, labels=labels) for item in page.items]

    async def pages(
        self, kind: Kind, namespace: str | None, *, labels: str = "", metadata_only: bool = False
    ) -> AsyncIterator[Page]:
        """See `KubeApi.pages`."""
        query = {"limit": str(_PAGE_SIZE)} | ({"labelSelector": labels} if labels else {})
        accept = _METADATA if metadata_only else _JSON
        while True:
            answer = await self._call("GET", kind, kind.path(namespace), query=query, accept=accept, is_object=False)
            items, told = answer.pop("items", None) or [], answer.get("metadata") or {}
            if metadata_only:
                items = [{"metadata": item["metadata"]} for item in items]
            else:
                items = [{"apiVersion": kind.api_version, "kind": kind.kind} | item for item in items]
            yield Page(items, str(told.get("resourceVersion") or ""))
            if not told.get("continue"):
                return
            query["continue"] = told["continue"]

    async def apply(
        self, kind: Kind, obj: Obj, *, manager: str, force: bool = True, subresource: str | None = None
    ) -> Obj:
        """See `KubeApi.apply`."""
        metadata = obj["metadata"]
        query = {"fieldManager": manager, "fieldValidation": "Strict"} | ({"force": "true"} if force else {})
        path = kind.path(metadata.get("namespace"), metadata["name"], subresource)
        return await self._call("PATCH", kind, path, query=query, body=obj, content_type=_APPLY, is_object=True)

    async def patch_status(self, kind: Kind, obj: Obj, *, manager: str) -> Obj:
        """See `KubeApi.patch_status`."""
        return await self.apply(kind, obj, manager=manager, subresource="status")

    async def merge(self, kind: Kind, obj: Obj, *, manager: str) -> Obj:
        """See `KubeApi.merge`."""
        metadata = obj["metadata"]
        query = {"fieldManager": manager, "fieldValidation": "Strict"}
        path = kind.path(metadata.get("namespace"), metadata["name"])
        return await self._call("PATCH", kind, path, query=query, body=obj, content_type=_MERGE, is_object=True)

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str, grace_seconds: int | None = None
    ) -> None:
        """See `KubeApi.delete`."""
        body: Obj = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        await self._call("DELETE", kind, kind.path(namespace, name), body=body, is_object=True)

    async def watch(
        self, kind: Kind, namespace: str | None, *, labels: str, since: str, seconds: int
    ) -> AsyncIterator[tuple[str, Obj]]:
        """Events from a version on (type, object), as the API server sends them, until it ends the stream.

        Raises KubeError; Invalid with status 410 when the version is too old.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        query |= {"resourceVersion": since} | ({"labelSelector": labels} if labels else {})
        what, rest = f"WATCH {kind.path(namespace)}", b""
        limit = seconds + self._timeout_seconds
        try:
            response = await self._open(f"{kind.path(namespace)}?{urlencode(query)}", seconds=limit)
            try:
                if response.status != 200:  # noqa: PLR2004 - HTTP's own
                    raw, headers = await response.read(), dict(response.headers)
                    raise from_response(response.status, raw, what=what, headers=headers, is_object=False)
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        yield _event(line, what)
            finally:
                response.close()
        except (TimeoutError, aiohttp.ClientError, OSError, ConfigException) as error:
            raise Unreachable(f"{what}: the stream broke: {str(error) or type(error).__name__}") from error

    async def knows(self, path: str, *, seconds: float) -> bool:
        """Whether the API server answers a path of discovery with a success within the time. Raises Unreachable."""
        try:
            response = await self._open(path, seconds=seconds)
            try:
                await response.read()
            finally:
                response.release()
        except (TimeoutError, aiohttp.ServerDisconnectedError):
            return False
        except (aiohttp.ClientError, OSError, ConfigException) as error:
            raise Unreachable(f"GET {path}: {str(error) or type(error).__name__}") from error
        return bool(response.status == 200)  # noqa: PLR2004 - HTTP's own

    async def _open(self, resource: str, *, seconds: float) -> aiohttp.ClientResponse:
        """The answer to a GET before its body; `seconds` for all of it."""
        verb, url, headers, _, _ = await self._client.param_serialize(
            "GET", resource, header_params={"Accept": _JSON}, auth_settings=["BearerToken"]
        )
        transport: Any = self._client.rest_client
        limit = aiohttp.ClientTimeout(total=seconds)
        opened = await transport.request(verb, url, headers=headers, _request_timeout=limit)
        return cast("aiohttp.ClientResponse", opened.response)

    async def ask(self, kind: Kind, spec: Obj) -> Obj:
        """Have a review answered: a POST that stores nothing, of a kind outside namespaces. Raises KubeError."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "spec": spec}
        return await self._call("POST", kind, kind.path(), body=body, is_object=False)

    def close_idle(self) -> None:
        """Close the connections that no request uses."""
        client: Any = self._client
        client.rest_client.close_idle()

    async def close(self) -> None:
        """Close the connections."""
        client: Any = self._client
        await client.close()

    async def _call(
        self,
        method: str,
        kind: Kind,
        path: str,
        *,
        is_object: bool,
        query: dict[str, str] | None = None,
        body: Obj | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> Obj:
        started = time.monotonic()
        outcome = "unreachable"
        try:
            status, headers, raw = await self._request(
                method, path, query=query, body=body, content_type=content_type, accept=accept
            )
            outcome = str(status)
        finally:
            if self._observer is not None:
                self._observer(method, kind.plural, outcome, time.monotonic() - started)
        if not 200 <= status < 300:  # noqa: PLR2004 - HTTP's own range of success
            raise from_response(status, raw, what=f"{method} {path}", headers=headers, is_object=is_object)
        try:
            return cast("Obj", json.loads(raw))
        except ValueError as error:
            raise ServerError("the answer is not JSON", status=status, what=f"{method} {path}") from error

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None,
        body: Obj | None,
        content_type: str,
        accept: str = _JSON,
    ) -> tuple[int, dict[str, str], bytes]:
        resource = f"{path}?{urlencode(query)}" if query else path
        headers = {"Accept": accept, "Content-Type": content_type}
        try:
            async with asyncio.timeout(self._timeout_seconds):
                verb, url, headers, _, _ = await self._client.param_serialize(
                    method, resource, header_params=headers, auth_settings=["BearerToken"]
                )
                transport: Any = self._client.rest_client
                response = await transport.request(verb, url, headers=headers, body=body)
                raw: bytes = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError, ConfigException) as error:
            cause = str(error) or type(error).__name__
            raise Unreachable(f"{method} {path}: the API server gave no answer: {cause}") from error
        return response.status, dict(response.headers), raw


def _event(line: bytes, what: str) -> tuple[str, Obj]:
    try:
        event = json.loads(line)
        kind, obj = str(event["type"]), cast("Obj", event["object"])
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError("an event is not JSON", status=200, what=what) from error
    if kind == "ERROR":
        raise from_response(
            int(obj.get("code") or 500), json.dumps(obj).encode(), what=what, headers={}, is_object=False
        )
    return kind, obj
