"""The adapter's streams, discovery and objects outside of namespaces, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from tests.unit.test_kube_client import Server, api, server
from trireme_operator.kube import API_SERVICE, POD, ApiError, Forbidden, KubernetesApi, ServerError, Unreachable

__all__ = ["api", "server"]


@asynccontextmanager
async def connected(url: str, *, timeout_seconds: float = 2) -> AsyncIterator[KubernetesApi]:
    made = KubernetesApi(ApiClient(Configuration(host=url)), timeout_seconds=timeout_seconds)
    try:
        yield made
    finally:
        await made.close()


def event(kind: str, version: int, **more: Any) -> bytes:
    obj = {"metadata": {"name": "llm-a-0", "resourceVersion": str(version)}} | more
    return json.dumps({"type": kind, "object": obj}).encode()


async def seen(api: KubernetesApi, *, seconds: int = 5) -> list[tuple[str, str]]:
    stream = api.watch(POD, None, labels="a,b=0", since="7", seconds=seconds)
    return [(kind, obj["metadata"]["resourceVersion"]) async for kind, obj in stream]


async def test_events_come_one_by_one_however_they_are_cut(server: Server, api: KubernetesApi) -> None:
    text = event("ADDED", 8) + b"\n" + event("BOOKMARK", 9) + b"\n" + event("DELETED", 10) + b"\n"

    async def in_pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for at in range(0, len(text), 7):
            await response.write(text[at : at + 7])
        return response

    server.answer = in_pieces  # type: ignore[assignment]
    assert await seen(api) == [("ADDED", "8"), ("BOOKMARK", "9"), ("DELETED", "10")]
    asked = server.requests[0][1]
    assert asked.startswith("/api/v1/pods?watch=true")
    assert "resourceVersion=7" in asked
    assert "labelSelector=a,b%3D0" in asked


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        pytest.param(403, b"{}", Forbidden, id="refused"),
        pytest.param(
            200, json.dumps({"type": "ERROR", "object": {"code": 410}}).encode() + b"\n", ServerError, id="old"
        ),
        pytest.param(200, b"nonsense\n", ServerError, id="no JSON"),
        pytest.param(200, b"[]\n", ServerError, id="no event"),
    ],
)
async def test_a_stream_that_can_not_go_on_is_an_error(
    server: Server, api: KubernetesApi, status: int, body: bytes, error: type[ApiError]
) -> None:
    server.answer = lambda _: web.Response(status=status, body=body)
    with pytest.raises(error):
        await seen(api)


async def test_a_stream_without_an_answer_ends(server: Server) -> None:
    over = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    server.answer = never
    async with connected(server.url, timeout_seconds=0.2) as api:
        with pytest.raises(Unreachable):
            await seen(api, seconds=0)
    over.set()


@pytest.mark.parametrize(("status", "known"), [(200, True), (404, False), (503, False)])
async def test_discovery_is_known_when_it_succeeds(
    server: Server, api: KubernetesApi, status: int, known: bool
) -> None:
    server.answer = lambda _: web.Response(status=status, text="{}")
    assert await api.knows("/apis/custom.metrics.k8s.io/v1beta2", seconds=5) is known


async def test_discovery_that_hangs_is_not_known_and_a_server_that_is_gone_is_an_error(
    server: Server, api: KubernetesApi
) -> None:
    over = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    server.answer = never
    assert await api.knows("/apis/custom.metrics.k8s.io/v1beta2", seconds=0.1) is False
    over.set()
    async with connected("http://127.0.0.1:1") as gone:
        with pytest.raises(Unreachable):
            await gone.knows("/apis", seconds=5)


async def test_an_object_outside_of_namespaces_has_no_namespace_in_its_path(server: Server, api: KubernetesApi) -> None:
    await api.get(API_SERVICE, "", "v1beta2.custom.metrics.k8s.io")
    await api.apply(API_SERVICE, {"metadata": {"name": "x"}}, manager="m", force=False)
    await api.delete(API_SERVICE, "", "x", uid="u")
    paths = [path.partition("?")[0] for _, path, _, _ in server.requests]
    root = "/apis/apiregistration.k8s.io/v1/apiservices"
    assert paths == [f"{root}/v1beta2.custom.metrics.k8s.io", f"{root}/x", f"{root}/x"]
    assert "force" not in server.requests[1][1]
