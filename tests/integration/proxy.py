"""A proxy between an operator and its API server that can make watches go silent, as a lost connection does."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from trireme_operator.kube import connect

_HOP_BY_HOP = frozenset({"connection", "content-length", "transfer-encoding", "host", "keep-alive"})


class Proxy:
    """Hands everything on; while `mute` is set, no byte of any watch, bookmarks included."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self.mute = False
        self.swallowed = 0
        self._session = session
        self._server = server

    async def handle(self, request: web.Request) -> web.StreamResponse:
        url = f"{self._server}{request.rel_url.raw_path_qs}"
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_BY_HOP}
        body = await request.read()
        async with self._session.request(request.method, url, headers=headers, data=body or None) as answer:
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            watch = request.query.get("watch") == "true"
            async for data in answer.content.iter_any():
                if watch and self.mute:
                    self.swallowed += len(data)
                else:
                    await response.write(data)
            await response.write_eof()
            return response


@contextlib.asynccontextmanager
async def proxied(kubeconfig: Path, folder: Path) -> AsyncIterator[tuple[Proxy, Path]]:
    """A proxy with the identity of a kubeconfig, and the kubeconfig that leads through it."""
    known: Any = await connect(kubeconfig)
    connector = aiohttp.TCPConnector(ssl=known.rest_client.ssl_context, limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        proxy = Proxy(session, known.configuration.host)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            yield proxy, _kubeconfig(folder / "through-proxy.yaml", f"http://127.0.0.1:{port}")
        finally:
            await runner.cleanup()
            await known.close()


def _kubeconfig(file: Path, server: str) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "proxy",
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
        "clusters": [{"name": "proxy", "cluster": {"server": server}}],
        "users": [{"name": "nobody", "user": {}}],
    }
    file.write_text(yaml.safe_dump(config))
    return file
