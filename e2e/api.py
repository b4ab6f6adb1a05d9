"""The API server of a running cluster, from any process of the machine.

``kubectl proxy`` listens on a unix socket, which is reachable from every network namespace, so the same code
serves a cluster that lives in a namespace of its own and one that lives in containers. Pods are reached
through the API server too (``pods/NAME:PORT/proxy/PATH``): no address of the cluster's network is needed.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from e2e.cluster import Cluster

Obj = dict[str, Any]
T = TypeVar("T")

_START_SECONDS = 15.0


class ApiError(Exception):
    """The API server (or a pod behind it) answered with an error status."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path}: {status} {body[:500]}")
        self.status = status


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket; ``timeout`` in seconds, None for ever."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Watch:
    """Iterates over (ADDED | MODIFIED | DELETED, object): first what is there, then changes, until it is closed.

    The API server ends a watch after some minutes, which ends the iteration too.
    """

    def __init__(self, connection: UnixConnection, path: str) -> None:
        connection.connect()
        self._socket = connection.sock
        connection.request("GET", f"{path}{'&' if '?' in path else '?'}watch=true")
        self._response = connection.getresponse()
        self._closed = False
        if self._response.status >= http.client.BAD_REQUEST:
            raise ApiError("WATCH", path, self._response.status, self._response.read().decode(errors="replace"))

    def __iter__(self) -> Iterator[tuple[str, Obj]]:
        try:
            for line in self._response:
                event = json.loads(line)
                yield event["type"], event["object"]
        except (OSError, http.client.HTTPException, ValueError):
            if not self._closed:
                raise

    def close(self) -> None:
        """End the iteration, from any thread."""
        self._closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Api:
    """Plain requests to the API server; objects are plain dicts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def text(self, method: str, path: str, *, body: Obj | None = None, content_type: str = "application/json") -> str:
        """One request. Raises ApiError for a status of 400 or more, OSError when nobody answers in 10 s."""
        connection = UnixConnection(self._path, timeout=10)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": content_type})
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        finally:
            connection.close()
        if response.status >= http.client.BAD_REQUEST:
            raise ApiError(method, path, response.status, text)
        return text

    def get(self, path: str) -> Obj:
        answer = json.loads(self.text("GET", path))
        if not isinstance(answer, dict):
            raise TypeError(f"GET {path}: expected a JSON object, got {type(answer).__name__}")
        return answer

    def items(self, path: str) -> list[Obj]:
        return list(self.get(path)["items"])

    def find(self, path: str) -> Obj | None:
        """The object at ``path``, or None when it (or its API) is not there."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise

    def merge_patch(self, path: str, body: Obj) -> Obj:
        answer: Obj = json.loads(self.text("PATCH", path, body=body, content_type="application/merge-patch+json"))
        return answer

    def delete(self, path: str, *, body: Obj | None = None) -> None:
        self.text("DELETE", path, body=body)

    def watch(self, path: str) -> Watch:
        """What is at ``path`` and every change of it. Raises ApiError for a path that can't be watched."""
        return Watch(UnixConnection(self._path, timeout=None), path)

    def pod_text(self, namespace: str, pod: str, port: int, path: str) -> str:
        """What a pod answers on one of its ports (a plain GET)."""
        return self.text("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}")


@contextmanager
def connect(cluster: Cluster) -> Iterator[Api]:
    """An Api on the cluster; the proxy behind it ends with the block."""
    with tempfile.TemporaryDirectory(prefix="trireme-api-") as folder:
        path = Path(folder) / "api.sock"
        argv = cluster.kubectl_command("proxy", f"--unix-socket={path}")
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as proxy:
            try:
                api = Api(path)
                wait_until(
                    lambda: path.exists() and api.get("/version"),
                    timeout_seconds=_START_SECONDS,
                    what="kubectl proxy to answer",
                    ignore=(OSError, ApiError),
                )
                yield api
            finally:
                proxy.terminate()


def wait_until(
    probe: Callable[[], T],
    *,
    timeout_seconds: float,
    what: str,
    ignore: tuple[type[BaseException], ...] = (),
    interval_seconds: float = 0.2,
) -> T:
    """Call ``probe`` until its answer is true, and give that answer. Raises TimeoutError with the last one."""
    deadline = time.monotonic() + timeout_seconds
    last: object = None
    while True:
        try:
            answer = probe()
            if answer:
                return answer
            last = answer
        except ignore as error:
            last = error
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {timeout_seconds:.0f} s for {what}; last seen: {last}")
        time.sleep(interval_seconds)
