"""One HTTP GET with a time limit, and the two ways in which it can fail."""

from __future__ import annotations

import contextlib
import http.client
from dataclasses import dataclass

_MAX_BODY_BYTES = 4 << 20


class UnreachableError(Exception):
    """No answer in time: the peer may be slow, gone or behind a cut network."""


class RefusedError(Exception):
    """A proof that nobody serves there: the port is closed, or the name no longer exists."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


def get(host: str, port: int, path: str, *, timeout_seconds: float) -> Answer:
    """The answer of ``http://host:port/path``; raises RefusedError or UnreachableError."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            return Answer(response.status, response.read(_MAX_BODY_BYTES))
        except ConnectionRefusedError:
            raise RefusedError(f"connection to {host}:{port} refused") from None
        except (OSError, http.client.HTTPException) as error:
            text = str(error) or type(error).__name__
            raise UnreachableError(f"no answer from {host}:{port}{path}: {text}") from None
