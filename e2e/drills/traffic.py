"""Requests that flow through the gateway while a drill runs, each with the time it began and how it ended."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from e2e.cluster import Cluster
from e2e.drills.client import Shape

_LAST_ANSWERS_SECONDS = 150.0


@dataclass(frozen=True)
class Request:
    """One request; times in seconds of the monotonic clock. ``fault`` is empty for a whole answer."""

    began: float
    ended: float
    fault: str


class Traffic:
    """Runs the client in the cluster's network, from the start of its block to the end, and collects what it says."""

    def __init__(self, cluster: Cluster, url: str, host: str, model: str, shape: Shape) -> None:
        words = (sys.executable, "-m", "e2e.drills.client", url, host, model, shape.as_text())
        self._process = subprocess.Popen(
            cluster.command(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()
        self._done: list[Request] = []
        self._said = ""
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read, self._read_errors)]

    def __enter__(self) -> Self:
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join(timeout=5)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def stop(self) -> None:
        """Begin no more requests, and wait for those that run.

        Raises RuntimeError when the client has failed or does not end.
        """
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            status = self._process.wait(_LAST_ANSWERS_SECONDS)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"requests still run {_LAST_ANSWERS_SECONDS:.0f} s after the last began") from None
        for reader in self._readers:
            reader.join(timeout=5)
        if status:
            raise RuntimeError(f"the client ended with status {status}: {self._said[-2000:]}")

    @property
    def requests(self) -> tuple[Request, ...]:
        """What has ended so far."""
        with self._lock:
            return tuple(self._done)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            began, ended, fault = json.loads(line)
            with self._lock:
                self._done.append(Request(began, ended, fault))

    def _read_errors(self) -> None:
        for line in self._process.stderr or ():
            self._said += line
