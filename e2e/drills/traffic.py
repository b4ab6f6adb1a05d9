"""A steady stream of small completions through the gateway, each with the time it began and how it ended."""

from __future__ import annotations

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.api import UnixConnection

_AT_ONCE = 64
_ANSWER_SECONDS = 20.0
_TOKENS = 4


@dataclass(frozen=True)
class Request:
    """One request; times in seconds of the monotonic clock. ``fault`` is empty for a whole answer."""

    began: float
    ended: float
    fault: str


class Traffic:
    """Requests begin on time whether or not earlier ones were answered, as those of many users do."""

    def __init__(self, path: Path, host: str, model: str, *, per_second: int) -> None:
        """``path`` is a unix socket that leads to the gateway, ``host`` the name its route listens for."""
        self._path = path
        self._per_second = per_second
        self._headers = {"Host": host, "Content-Type": "application/json"}
        self._body = json.dumps({"model": model, "prompt": "One", "max_tokens": _TOKENS, "temperature": 0})
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._send_all, name="drill-traffic", daemon=True)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._done: list[Request] = []

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Begin no more requests, and wait for those that run."""
        self._over.set()
        self._clock.join()

    @property
    def requests(self) -> tuple[Request, ...]:
        """What has ended so far."""
        with self._lock:
            return tuple(self._done)

    def _send_all(self) -> None:
        begin = time.monotonic()
        count = 0
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            while not self._over.is_set():
                pool.submit(self._send)
                count += 1
                self._over.wait(max(0.0, begin + count / self._per_second - time.monotonic()))

    def _send(self) -> None:
        began = time.monotonic()
        fault = self._ask()
        with self._lock:
            self._done.append(Request(began, time.monotonic(), fault))

    def _ask(self) -> str:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = UnixConnection(self._path, timeout=_ANSWER_SECONDS)
            self._local.connection = connection
        try:
            connection.request("POST", "/v1/completions", self._body, self._headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return f"{type(error).__name__}: {error}"
        return fault_of(response.status, text)


def fault_of(status: int, body: bytes) -> str:
    """Empty for a completion with text, else what came instead."""
    shown = body[:200].decode(errors="replace")
    if status != http.client.OK:
        return f"status {status}: {shown}"
    try:
        return "" if json.loads(body)["choices"][0]["text"] else f"no text in {shown}"
    except (ValueError, KeyError, IndexError, TypeError):
        return f"not a completion: {shown}"
