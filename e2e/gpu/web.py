"""Asking pods over HTTP: a status and a text, and completions that come as a stream."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from e2e.gpu.shapes import SERVED

OK = 200


def ask(url: str, body: dict[str, Any] | None = None, *, timeout: float = 5.0) -> tuple[int, str]:
    """Status and text; 0 when nobody answers within the time."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""


class Stream(threading.Thread):
    """A completion of exactly ``tokens`` tokens that is read while other things happen."""

    def __init__(self, address: str, port: int, tokens: int, *, limit: float = 180.0) -> None:
        super().__init__(daemon=True)
        self._place = (address, port)
        self._limit = limit
        self._wanted = tokens
        self.tokens = 0
        self.finished = ""
        self.fault = ""
        self.start()

    @property
    def whole(self) -> bool:
        """Whether all of it came, up to the end mark."""
        return not self.fault and self.finished == "length" and self.tokens == self._wanted

    def run(self) -> None:
        body = {"model": SERVED, "prompt": "row row row", "max_tokens": self._wanted, "stream": True}
        body |= {"ignore_eos": True, "temperature": 0, "stream_options": {"include_usage": True}}
        deadline = time.monotonic() + self._limit
        connection = http.client.HTTPConnection(*self._place, timeout=self._limit)
        try:
            connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != OK:
                self.fault = f"status {answer.status}: {answer.read(300).decode(errors='replace')}"
                return
            ended = False
            while (line := answer.readline()) and time.monotonic() < deadline:
                ended = self._take(line.decode(errors="replace").strip()) or ended
            if not ended and not self.fault:
                self.fault = "the stream ended without its end mark"
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.fault = f"{type(error).__name__}: {error}"
        finally:
            connection.close()

    def _take(self, line: str) -> bool:
        """One line of the stream; True for the last one."""
        if line == "data: [DONE]":
            return True
        if line.startswith("data: "):
            said = json.loads(line.removeprefix("data: "))
            if "error" in said:
                self.fault = f"error in the stream: {str(said['error'])[:300]}"
            for choice in said.get("choices", []):
                self.finished = choice.get("finish_reason") or self.finished
            if said.get("usage"):
                self.tokens = said["usage"]["completion_tokens"]
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
