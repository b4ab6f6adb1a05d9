"""Real launchers with the engine double as their engine, one a pod, each on a loopback address of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOUBLE = (sys.executable, "-m", "tests.double", "serve", "tiny", "--served-model-name", "tiny")
_TIMEOUT_SECONDS = 60.0
"""For a machine that is busy; what must be fast says so itself."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], bool], what: str, *, seconds: float = _TIMEOUT_SECONDS) -> None:
    """Wait for ``condition``; fails with ``what`` was expected."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)  # each look is a request, which costs the launcher as much as us


_OCTET = 250
_WIRE = 100


class Wire:
    """Forwards TCP from addresses to others until it is cut: then nothing passes, and nobody is told."""

    def __init__(self, routes: Sequence[tuple[str, str, int]]) -> None:
        self._flows = threading.Event()
        self._flows.set()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        for source, target, port in routes:
            self._run(self._accept, self._keep(socket.create_server((source, port), backlog=64)), target, port)

    def cut(self) -> None:
        self._flows.clear()

    def mend(self) -> None:
        self._flows.set()

    def close(self) -> None:
        self._flows.set()
        while self._sockets:
            each = self._sockets.pop()
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(_TIMEOUT_SECONDS)

    def _run(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep(self, made: socket.socket) -> socket.socket:
        self._sockets.append(made)
        return made

    def _accept(self, listener: socket.socket, target: str, port: int) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._run(self._connect, self._keep(listener.accept()[0]), target, port)

    def _connect(self, near: socket.socket, target: str, port: int) -> None:
        self._flows.wait()
        try:
            far = self._keep(socket.create_connection((target, port)))
        except OSError:
            # A closed port: a connection that is reset is what the far end looks like from here.
            with contextlib.suppress(OSError):  # unless this end has been closed as well
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                near.close()
            return
        self._run(self._pump, far, near)
        self._pump(near, far)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@dataclass
class Pod:
    """One launcher process and how to talk to it and to its engine."""

    process: subprocess.Popen[bytes]
    address: str
    launcher_port: int
    engine_port: int
    output: Path
    cause: Path

    def ask(self, path: str) -> tuple[int, str]:
        """Status and body of the launcher's answer; 0 when nobody answers."""
        return self._http(self.launcher_port, path)

    def ask_engine(self, path: str, body: Mapping[str, Any] | None = None, *, post: bool = False) -> tuple[int, str]:
        return self._http(self.engine_port, path, body, post=post)

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.ask("/statusz")[1])
        return document

    def stage(self) -> str:
        code, body = self.ask("/readyz")
        return body.partition(":")[0].strip() if code else "gone"

    def is_ready(self) -> bool:
        return self.ask("/readyz") == (200, "Ready\n")

    def wait(self, seconds: float = _TIMEOUT_SECONDS) -> int:
        return self.process.wait(seconds)

    def first_cause(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.cause.read_text())
        return document

    def _http(
        self, port: int, path: str, body: Mapping[str, Any] | None = None, *, post: bool = False
    ) -> tuple[int, str]:
        data = json.dumps(body or {}).encode() if post or body is not None else None
        request = urllib.request.Request(
            f"http://{self.address}:{port}{path}", data=data, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""


@dataclass
class Group:
    """Starts the pods of one group; ports and names are the group's own, so groups run beside each other."""

    folder: Path
    size: int = 2
    grace_seconds: int = 30
    settle_seconds: int = 0
    launcher: tuple[str, ...] = (sys.executable, "-m", "trireme_runtime.main")
    launcher_port: int = field(default_factory=free_port)
    engine_port: int = field(default_factory=free_port)
    master_port: int = field(default_factory=free_port)
    line: Wire | None = None
    pods: list[Pod] = field(default_factory=list)

    def address(self, index: int) -> str:
        """An address of this process's own: several run tests at the same time, and ports are fixed by the contract."""
        high, low = divmod(os.getpid(), _OCTET)
        return f"127.{1 + high % _OCTET}.{1 + low}.{index + 1}"

    def wire(self, index: int) -> str:
        """Where the others find the pod: at its address, or at that of a wire to it."""
        return self.address(index if self.line is None else index + _WIRE)

    def wires(self) -> Wire:
        """From now on the launchers find each other over wires that can be cut; start them after this."""
        pods = range(self.size)
        self.line = Wire([(self.address(index + _WIRE), self.address(index), self.launcher_port) for index in pods])
        return self.line

    def environment(self, index: int) -> dict[str, str]:
        """What the contract promises to the pod of this index, and how its names are found."""
        names = [f"g-0{f'-{pod}' if pod else ''}.g.ns={self.wire(pod)}" for pod in range(self.size)]
        temporary = self.folder / f"pod-{index}"
        temporary.mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(temporary),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests/unit/loopback_names"), str(ROOT / "runtime"), str(ROOT)]),
            "LOOPBACK_NAMES": ",".join(names),
            "LWS_LEADER_ADDRESS": "g-0.g.ns",
            "LWS_GROUP_SIZE": str(self.size),
            "LWS_WORKER_INDEX": str(index),
            "TRIREME_CONTRACT": "1",
            "TRIREME_CLUSTER": "g",
            "TRIREME_ZONE": "zone-a",
            "TRIREME_POD_NAME": f"g-0-{index}" if index else "g-0",
            "TRIREME_POD_NAMESPACE": "ns",
            "TRIREME_POD_UID": f"uid-{index}",
            "TRIREME_POD_IP": self.address(index),
            "TRIREME_TENSOR_PARALLEL_SIZE": "1",
            "TRIREME_PIPELINE_PARALLEL_SIZE": str(self.size),
            "TRIREME_RANKS_PER_POD": "1",
            "TRIREME_ENGINE_PORT": str(self.engine_port),
            "TRIREME_LAUNCHER_PORT": str(self.launcher_port),
            "TRIREME_MASTER_PORT": str(self.master_port),
            "TRIREME_GRACE_SECONDS": str(self.grace_seconds),
            "TRIREME_SETTLE_SECONDS": str(self.settle_seconds),
            "TRIREME_TERMINATION_LOG": str(temporary / "cause"),
        }

    def start(
        self, index: int = 0, *, command: tuple[str, ...] = (), variables: Mapping[str, str] | None = None
    ) -> Pod:
        """Start the pod of this index; ``command`` replaces the double."""
        environment = {**self.environment(index), **(variables or {})}
        engine = command or (*DOUBLE, "--host", self.address(index), "--port", str(self.engine_port))
        output = self.folder / f"pod-{index}" / "output"
        with output.open("ab") as stream:
            process = subprocess.Popen(
                [*self.launcher, *engine], env=environment, stdout=stream, stderr=stream, cwd=ROOT
            )
        cause = Path(environment["TRIREME_TERMINATION_LOG"])
        pod = Pod(process, self.address(index), self.launcher_port, self.engine_port, output, cause)
        self.pods.append(pod)
        return pod

    def stop(self) -> None:
        """End what still runs; engines are the launchers' children and go with them."""
        for pod in self.pods:
            if pod.process.poll() is None:
                _kill_tree(pod.process.pid)
                pod.process.wait(_TIMEOUT_SECONDS)
        if self.line is not None:
            self.line.close()


def start_ready(group: Group, variables: dict[str, str] | None = None) -> list[Pod]:
    pods = [group.start(index, variables=variables) for index in range(group.size)]
    for pod in pods:
        until(pod.is_ready, f"{pod.address} is ready")
    return pods


class Stream(threading.Thread):
    """A streaming completion that somebody reads while the test goes on."""

    def __init__(self, pod: Pod, tokens: int) -> None:
        super().__init__()
        self._pod = pod
        self._body = {"model": "tiny", "prompt": "row", "max_tokens": tokens, "stream": True, "ignore_eos": True}
        self.lines: list[str] = []
        self.start()

    def run(self) -> None:
        try:
            _, text = self._pod.ask_engine("/v1/completions", self._body)
        except (http.client.HTTPException, ValueError):
            return  # cut in the middle of a chunk
        self.lines = [line.removeprefix("data: ") for line in text.splitlines() if line]

    @property
    def tokens(self) -> int:
        return sum(1 for line in self.lines[:-1] if json.loads(line)["choices"][0]["text"])


def kill_tree(pod: Pod) -> None:
    """What a node that loses its power does to a pod, or the kernel when the launcher itself dies as process 1."""
    _kill_tree(pod.process.pid)


def children(pid: int) -> list[int]:
    """Processes below ``pid``, deepest last."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread may end between the listing and the reading
            for child in task.read_text().split():
                found += [int(child), *children(int(child))]
    return found


def _kill_tree(pid: int) -> None:
    victims = [pid, *children(pid)]
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
