"""HTTP with a time limit, and the two ways in which it can fail."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field

_MAX_BODY_BYTES = 4 << 20


class UnreachableError(Exception):
    """No answer in time: the peer may be slow, gone or behind a cut network."""


class RefusedError(Exception):
    """A proof that nobody serves there: the port is closed, or the name no longer exists."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


class Connection:
    """A connection to one address that is kept between requests; for one thread."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self._port = port
        self._open: http.client.HTTPConnection | None = None

    def get(self, path: str, *, timeout_seconds: float) -> Answer:
        """The answer of ``path``; raises RefusedError or UnreachableError.

        A kept connection that the other side has closed is made anew, so that its end is never taken for an answer.
        """
        kept = self._open
        if kept is not None:
            try:
                return self._ask(kept, path)
            except TimeoutError as error:
                self.close()
                raise _unreachable(self.host, self._port, path, error) from None
            except (OSError, http.client.HTTPException):
                self.close()
        self._open = http.client.HTTPConnection(self.host, self._port, timeout=timeout_seconds)
        try:
            return self._ask(self._open, path)
        except ConnectionRefusedError:
            self.close()
            raise RefusedError(f"connection to {self.host}:{self._port} refused") from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise _unreachable(self.host, self._port, path, error) from None

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _ask(self, connection: http.client.HTTPConnection, path: str) -> Answer:
        connection.request("GET", path)
        response = connection.getresponse()
        answer = Answer(response.status, response.read(_MAX_BODY_BYTES))
        if not response.isclosed():
            self.close()  # the rest of a body that is too long would be taken for the next answer
        return answer


@dataclass(frozen=True)
class Request:
    """What to ask for; with a body it is a POST."""

    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def get(host: str, port: int, path: str, *, timeout_seconds: float) -> Answer:
    """The answer of ``http://host:port/path``; raises RefusedError or UnreachableError."""
    return ask(host, port, Request(path), timeout_seconds=timeout_seconds)


def ask(host: str, port: int, request: Request, *, timeout_seconds: float) -> Answer:
    """The answer of a server at an address; raises RefusedError or UnreachableError."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    method = "GET" if request.body is None else "POST"
    with contextlib.closing(connection):
        try:
            connection.request(method, request.path, request.body, {**request.headers, "Connection": "close"})
            response = connection.getresponse()
            return Answer(response.status, response.read(_MAX_BODY_BYTES))
        except ConnectionRefusedError:
            raise RefusedError(f"connection to {host}:{port} refused") from None
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(host, port, request.path, error) from None


def _unreachable(host: str, port: int, path: str, error: Exception) -> UnreachableError:
    return UnreachableError(f"no answer from {host}:{port}{path}: {str(error) or type(error).__name__}")
