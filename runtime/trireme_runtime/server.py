"""The launcher's HTTP endpoints, answered from the last snapshot: no request waits for anything but metrics."""

from __future__ import annotations

import http.server
import socket
import socketserver
import threading
import time
from collections.abc import Callable

from trireme_runtime.status import Status

_STUCK_SECONDS = 10.0
_CONNECTION_SECONDS = 10
_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


class Server:
    """``/livez``, ``/readyz``, ``/statusz`` and ``/metrics`` on one address, a thread for each connection."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        status: Callable[[], Status],
        metrics: Callable[[], str],
        ask: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Bind at once, so that an address in use is known before anything starts; raises OSError.

        ``ask`` is called with the question of a ``/statusz?canary=QUESTION``, and must not wait for its answer.
        """
        question = ask

        class Handler(_Handler):
            get_status = staticmethod(status)
            get_metrics = staticmethod(metrics)
            ask = staticmethod(question)

        class HTTPServer(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            request_queue_size = 64

            def server_bind(self) -> None:
                # The base class asks the DNS for this host's full name, which may take seconds in a fresh pod.
                socketserver.TCPServer.server_bind(self)
                self.server_name, self.server_port = host, port

        self._server = HTTPServer((host, port), Handler)

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.2,), name="server", daemon=True).start()


class _Handler(http.server.BaseHTTPRequestHandler):
    get_status: Callable[[], Status]
    get_metrics: Callable[[], str]
    ask: Callable[[str], None]
    protocol_version = "HTTP/1.1"
    timeout = _CONNECTION_SECONDS
    server_version = "trireme-launcher"
    sys_version = ""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/livez":
            stuck = time.monotonic() - self.get_status().published > _STUCK_SECONDS
            self._answer(503 if stuck else 200, "the main loop is stuck\n" if stuck else "ok\n")
        elif path == "/readyz":
            status = self.get_status()
            self._answer(200 if status.ready else 503, status.line() + "\n")
        elif path == "/statusz":
            name, _, question = query.partition("=")
            if name == "canary":
                self.ask(question)
            self._answer(200, self.get_status().as_json(), "application/json")
        elif path == "/metrics":
            self._answer(200, self.get_metrics(), _METRICS)
        else:
            self._answer(404, "not found; see /livez, /readyz, /statusz and /metrics\n")

    def _answer(self, code: int, body: str | bytes, content_type: str = _TEXT) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Probes come every second: they are not logged."""
