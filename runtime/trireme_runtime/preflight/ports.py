"""TCP between the pods of a group: each listens on a port that the kernel chooses, and connects to all the others."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CONNECT_SECONDS = 5.0
_ACCEPT_SECONDS = 0.2
_ANSWER_SECONDS = 0.5
_AT_ONCE = 16


class Listener:
    """A port of this pod that answers each connection with its greeting, until it is closed."""

    def __init__(self, host: str, port: int, greeting: str) -> None:
        """Listen; port 0 lets the kernel choose. Raises OSError when the port cannot be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=256)
        self._socket.settimeout(_ACCEPT_SECONDS)
        self._greeting = greeting.encode()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="preflight-port", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def close(self) -> None:
        """Give the port back before this returns: the engine may want it next."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread up
        self._thread.join(2 * (_ACCEPT_SECONDS + _ANSWER_SECONDS))

    def _serve(self) -> None:
        with self._socket:
            while not self._closed.is_set():
                with contextlib.suppress(OSError):  # of one connection, or the time limit of the wait for one
                    connection, _ = self._socket.accept()
                    with connection:
                        connection.settimeout(_ANSWER_SECONDS)
                        connection.sendall(self._greeting)
                        # The other side closes first: an address that lingers after the end is then not this port.
                        connection.recv(1)


@dataclass(frozen=True)
class Target:
    """A port that should be open: whose it is, where, and who answers there."""

    pod: str
    address: str
    port: int
    greeting: str


def reach(target: Target) -> str:
    """Why the target cannot be reached within 5 seconds, or an empty text."""
    place = f"port {target.port} of {target.address}"
    try:
        with socket.create_connection((target.address, target.port), timeout=CONNECT_SECONDS) as connection:
            said = b""
            while len(said) < len(target.greeting) and (chunk := connection.recv(256)):
                said += chunk
    except TimeoutError:
        return f"{place} does not answer within {CONNECT_SECONDS:g} s: packets are dropped, by a firewall or a policy?"
    except OSError as error:
        return f"{place}: {error.strerror or error}"
    if said.decode(errors="replace") != target.greeting:
        return f"{place} is answered by another program"
    return ""


class Connections:
    """All targets tried in the background, 16 at a time."""

    def __init__(self, targets: Sequence[Target], try_one: Callable[[Target], str] = reach) -> None:
        self.total = len(targets)
        self.failed: dict[Target, str] = {}
        self._todo = list(targets)
        self._try = try_one
        self._lock = threading.Lock()
        self._left = len(targets)
        for _ in range(min(_AT_ONCE, len(targets))):
            threading.Thread(target=self._work, name="preflight-connect", daemon=True).start()

    @property
    def done(self) -> bool:
        with self._lock:
            return self._left == 0

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._todo:
                    return
                target = self._todo.pop()
            why = self._try(target)
            with self._lock:
                self._left -= 1
                if why:
                    self.failed[target] = why
