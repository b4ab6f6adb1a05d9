"""HTTP/1.1 for the double: one protocol object a connection, written to directly, so that a stream costs no task."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

_MAX_HEAD_BYTES = 65536
Handler = Callable[["Request", "Connection"], None]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Raises ValueError when the body is no JSON object."""
        document = json.loads(self.body)
        if not isinstance(document, dict):
            raise ValueError("the body is no JSON object")  # noqa: TRY004 - a client's fault, answered with 400
        return document


@dataclass
class Connection(asyncio.Protocol):
    """One client. A request is answered by ``answer``, or by ``begin_stream``, ``send`` and ``end_stream``."""

    handler: Handler
    connections: set[Connection]
    on_gone: Callable[[], None] | None = None
    _transport: asyncio.Transport | None = None
    _buffer: bytearray = field(default_factory=bytearray)
    _busy: bool = False
    _close_after: bool = False

    __hash__ = object.__hash__

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.connections.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self.connections.discard(self)
        if self.on_gone is not None:
            self.on_gone()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def answer(self, status: int, body: object, content_type: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._write(_head(status, {"content-type": content_type, "content-length": str(len(data))}) + data)
        self._finish()

    def begin_stream(self) -> None:
        headers = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}
        self._write(_head(HTTPStatus.OK, headers))

    def send(self, event: bytes) -> None:
        self._write(b"%x\r\n%b\r\n" % (len(event), event))

    def end_stream(self) -> None:
        self._write(b"0\r\n\r\n")
        self._finish()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    @property
    def busy(self) -> bool:
        return self._busy

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _finish(self) -> None:
        self._busy = False
        self.on_gone = None
        if self._close_after:
            self.close()
        elif self._buffer:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Answer the next request when it is complete and the one before is done."""
        if self._busy:
            return
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD_BYTES:
                self.close()
            return
        try:
            method, target, headers = _parse_head(bytes(self._buffer[:end]))
            length = int(headers.get("content-length", "0"))
        except ValueError:
            self.close()
            return
        if len(self._buffer) < end + 4 + length:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        self._busy = True
        self._close_after = headers.get("connection", "").lower() == "close"
        path, _, query = target.partition("?")
        self.handler(Request(method, path, query, headers, body), self)


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return method, target, headers


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
