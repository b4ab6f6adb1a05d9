"""How another launcher is found and kept, with real sockets; only the answers of DNS are given."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.unit.pods import free_port
from trireme_runtime import watch
from trireme_runtime.fetch import RefusedError, UnreachableError
from trireme_runtime.peer import Peer
from trireme_runtime.pulse import SILENT_SECONDS

NAME = "g-0-1.g.ns"
FIRST, SECOND = "127.0.14.1", "127.0.14.2"
NO_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
NO_DNS = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


class Dns:
    """Answers for ``NAME``: an address, an error, or something to wait for first."""

    def __init__(self) -> None:
        self.answer: str | Exception = FIRST
        self.before: Callable[[], object] = lambda: None
        self.asked = 0
        self._real = socket.getaddrinfo

    def __call__(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != NAME:
            return self._real(host, *args, **kwargs)
        self.asked += 1
        self.before()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self._real(self.answer, *args, **kwargs)


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Dns:
    answers = Dns()
    monkeypatch.setattr(socket, "getaddrinfo", answers)
    return answers


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def pods() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@contextmanager
def launcher(address: str, port: int, uid: str) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(
                {"podUID": uid, "stage": "Ready", "reason": "", "engine": {"running": True, "healthy": True}}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    server = ThreadingHTTPServer((address, port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("answer", [NO_NAME, NO_DNS, SECOND])
def test_a_pod_that_answers_is_not_looked_up_again(
    dns: Dns, port: int, pods: ExitStack, answer: str | Exception
) -> None:
    pods.enter_context(launcher(FIRST, port, "uid-1"))
    found = Peer(NAME, port)
    assert found.ask().pod_uid == "uid-1"
    dns.answer = answer
    assert found.ask().pod_uid == "uid-1"
    assert dns.asked == 1


def test_a_name_that_never_existed_is_a_proof(dns: Dns, port: int) -> None:
    dns.answer = NO_NAME
    with pytest.raises(RefusedError, match=f"the name {NAME} does not exist"):
        Peer(NAME, port).ask()


def test_dns_that_does_not_answer_is_none(dns: Dns, port: int) -> None:
    dns.answer = NO_DNS
    with pytest.raises(UnreachableError, match="cannot be resolved: Temporary failure"):
        Peer(NAME, port).ask()


def test_a_pod_that_moved_is_found_again(dns: Dns, port: int, pods: ExitStack) -> None:
    found = Peer(NAME, port)
    with launcher(FIRST, port, "uid-1"):
        found.ask()
    pods.enter_context(launcher(SECOND, port, "uid-2"))
    dns.answer = SECOND
    assert found.ask().pod_uid == "uid-2"


def test_a_stranger_at_the_known_address_is_not_the_peer(dns: Dns, port: int, pods: ExitStack) -> None:
    found = Peer(NAME, port)
    with launcher(FIRST, port, "uid-1"):
        found.ask()
    pods.enter_context(launcher(FIRST, port, "stranger"))
    dns.answer = NO_DNS
    with pytest.raises(RefusedError, match="another pod answers"):
        found.ask()
    pods.enter_context(launcher(SECOND, port, "uid-2"))
    dns.answer = SECOND
    assert found.ask().pod_uid == "uid-2"


def test_the_pod_that_the_name_leads_to_counts_at_the_same_address_too(dns: Dns, port: int, pods: ExitStack) -> None:
    found = Peer(NAME, port)
    with launcher(FIRST, port, "uid-1"):
        found.ask()
    pods.enter_context(launcher(FIRST, port, "uid-2"))
    assert found.ask().pod_uid == "uid-2"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(FIRST, "refused", id="same address"),
        pytest.param(NO_DNS, "refused", id="no DNS"),
        pytest.param(NO_NAME, "does not exist", id="no name"),
    ],
)
def test_a_closed_port_is_a_proof_whatever_dns_says(dns: Dns, port: int, answer: str | Exception, message: str) -> None:
    found = Peer(NAME, port)
    with launcher(FIRST, port, "uid-1"):
        found.ask()
    dns.answer = answer
    with pytest.raises(RefusedError, match=message):
        found.ask()


def test_one_lost_answer_is_no_silence_while_dns_hangs(dns: Dns, port: int, pods: ExitStack) -> None:
    found = Peer(NAME, port)
    with launcher(FIRST, port, "uid-1"):
        found.ask()
    released = threading.Event()
    dns.before = lambda: released.wait(10)
    with socket.create_server((FIRST, port)):  # takes the connection and never answers
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="timed out"):
            found.ask()
        assert watch.INTERVAL_SECONDS + time.monotonic() - began < SILENT_SECONDS
    pods.enter_context(launcher(FIRST, port, "uid-1"))
    assert found.ask().pod_uid == "uid-1"
    released.set()


def test_a_lookup_that_hangs_is_waited_for_once_and_holds_nobody_up(dns: Dns, port: int, pods: ExitStack) -> None:
    released = threading.Event()
    dns.before = lambda: released.wait(10)
    found = Peer(NAME, port)
    for _ in range(3):
        with pytest.raises(UnreachableError, match="cannot be resolved: no answer"):
            found.ask()
    assert dns.asked == 1
    pods.enter_context(launcher(FIRST, port, "uid-1"))
    released.set()
    assert found.ask().pod_uid == "uid-1"
