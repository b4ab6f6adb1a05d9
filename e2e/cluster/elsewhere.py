"""Another network namespace: words that run a program there, and HTTPS to a server there, from this process.

A program that looks at a server ten times a second must not start a kubectl for each look: that costs more than the
server does.
"""

from __future__ import annotations

import ctypes
import http.client
import os
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_NEW_NETWORK = 0x40000000
"""CLONE_NEWNET (linux/sched.h)."""


def enter(namespace: Path) -> tuple[str, ...]:
    """Words that run a program there.

    Not ``ip netns exec``, which also mounts another /sys and so hides the cgroups.
    """
    return ("nsenter", f"--net={namespace}", "--")


class Connection(http.client.HTTPSConnection):
    """One to ``host`` as the network namespace at ``namespace`` knows it; as this process does, without one.

    Raises OSError when nobody answers there, or this process may not look into the namespace.
    """

    def __init__(
        self, host: str, port: int, *, context: ssl.SSLContext, timeout: float, namespace: Path | None = None
    ) -> None:
        super().__init__(host, port, context=context, timeout=timeout)
        self._address = (host, port)
        self._tls = context
        self._seconds = timeout
        self._namespace = namespace

    def connect(self) -> None:
        plain = _socket(self._namespace)
        try:
            plain.settimeout(self._seconds)
            plain.connect(self._address)
            self.sock = self._tls.wrap_socket(plain, server_hostname=self._address[0])
        except BaseException:
            plain.close()
            raise


def _socket(namespace: Path | None) -> socket.socket:
    """A socket stays in the namespace in which it was made. A thread of its own goes there, and ends."""
    if namespace is None:
        return socket.socket()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_made_in, namespace).result()


def _made_in(namespace: Path) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    with namespace.open() as file:
        if libc.setns(file.fileno(), _NEW_NETWORK):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(namespace))
    return socket.socket()
