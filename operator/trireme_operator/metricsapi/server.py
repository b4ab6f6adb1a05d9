"""The answers over HTTPS, made from what is in memory: nothing here waits for anything.

With ``/apis`` only the API server is served; probes of the kubelet and of the operator show no certificate.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from aiohttp import web

from trireme_operator.metricsapi import documents, selectors
from trireme_operator.metricsapi.certificates import Serving
from trireme_operator.metricsapi.front_proxy import FrontProxy
from trireme_operator.metricsapi.leaders import Leader
from trireme_operator.metricsapi.scrape import Scraper
from trireme_operator.planning import QUEUE_LENGTH
from trireme_operator.rendering.api_service import METRICS_PATH

_BACKLOG: Final = 128
_KEEPALIVE_SECONDS: Final = 120.0
_JSON: Final = "application/json"

Observer = Callable[[str, float], None]
"""Called after each request with its status code and seconds."""


class Server:
    """Listens on one socket for as long as it lives; certificate and admitted client are put in by `use`."""

    def __init__(
        self,
        scraper: Scraper,
        *,
        port: int,
        ready: Callable[[], bool],
        observer: Observer = lambda _code, _seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind at once, so that an address in use is known before anything starts; raises OSError."""
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        self._listening = socket.create_server(("", port), family=family, backlog=_BACKLOG, dualstack_ipv6=dual)
        self._scraper = scraper
        self._ready = ready
        self._observer = observer
        self._clock = clock
        self._proxy: FrontProxy | None = None
        self._site: web.SockSite | None = None
        app = web.Application(middlewares=[self._guard], client_max_size=1024)
        app.router.add_get("/livez", self._live)
        app.router.add_get("/readyz", self._readiness)
        app.router.add_get(METRICS_PATH, self._discovery)
        app.router.add_get(f"{METRICS_PATH}/namespaces/{{namespace}}/pods/{{name}}/{{metric}}", self._values)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=_KEEPALIVE_SECONDS, shutdown_timeout=1.0)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._listening.getsockname()[1])

    async def use(self, serving: Serving, proxy: FrontProxy) -> None:
        """New connections meet this certificate and this authority; the socket itself is never closed in between."""
        context = tls(serving, proxy)
        if self._runner.server is None:
            await self._runner.setup()
        before = self._site
        self._site = web.SockSite(self._runner, self._listening.dup(), ssl_context=context, backlog=_BACKLOG)
        self._proxy = proxy
        await self._site.start()
        if before is not None:
            await before.stop()

    async def close(self) -> None:
        """Take no more requests."""
        await self._runner.cleanup()
        self._listening.close()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        began = self._clock()
        try:
            response: web.StreamResponse = self._refusal(request) or await handler(request)
        except web.HTTPException as error:
            response = _failed(error.status, error.reason.replace(" ", ""), f"{request.method} {request.path}")
        self._observer(str(response.status), self._clock() - began)
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        if not request.path.startswith("/apis"):
            return None
        transport, proxy = request.transport, self._proxy
        peer = transport.get_extra_info("peercert") if transport is not None else None
        if proxy is not None and proxy.admits(peer):
            return None
        return _failed(401, "Unauthorized", "only the API server, with its front-proxy client certificate, is served")

    async def _live(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readiness(self, _: web.Request) -> web.Response:
        if self._ready():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="not all leaders were listed yet\n")

    async def _discovery(self, _: web.Request) -> web.Response:
        return _json(documents.RESOURCES)

    async def _values(self, request: web.Request) -> web.Response:
        found = request.match_info
        namespace, name, metric = found["namespace"], found["name"], found["metric"]
        if metric != QUEUE_LENGTH:
            text = f"the server could not find the metric {metric} for pods: it serves {QUEUE_LENGTH}"
            return _failed(404, "NotFound", text)
        try:
            selector = selectors.parse(request.query.get("labelSelector", ""))
        except selectors.SelectorError as error:
            return _failed(400, "BadRequest", f"labelSelector: {error}")
        one = None if name == "*" else name
        since = self._scraper.since
        leaders = list(self._scraper.leaders.fresh(namespace, one, selector, since=since))
        if one is not None and not leaders:
            return _failed(404, "NotFound", f"pod {namespace}/{one} is no leader with a known queue")
        return _json(documents.values(self._dated(leaders)))

    def _dated(self, leaders: Iterable[Leader]) -> Iterable[tuple[Leader, datetime]]:
        now, at = datetime.now(UTC), self._clock()
        for leader in leaders:
            yield leader, now - timedelta(seconds=at - leader.at)


def tls(serving: Serving, proxy: FrontProxy) -> ssl.SSLContext:
    """A context that serves the certificate, and verifies a client's if it shows one."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    # What signs front proxies was made by many tools, and some leave out what RFC 5280 asks for (Python 3.13 insists).
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=proxy.authority)
    with TemporaryDirectory() as folder:  # OpenSSL takes a key from a file only
        pair = Path(folder) / "pair.pem"
        pair.touch(mode=0o600)
        pair.write_text(serving.key + serving.certificate)
        context.load_cert_chain(pair)
    return context


def _json(document: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(document, separators=(",", ":")).encode(), status=status, content_type=_JSON)


def _failed(status: int, reason: str, message: str) -> web.Response:
    return _json(documents.failure(status, reason, message), status)
