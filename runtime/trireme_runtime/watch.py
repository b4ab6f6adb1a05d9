"""Who is asked once a second, each in a thread of its own, so that a slow answer delays nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from trireme_runtime import fetch, metrics
from trireme_runtime.members import Member
from trireme_runtime.peer import Peer
from trireme_runtime.pulse import Pulse

INTERVAL_SECONDS = 1.0
_EAGER_INTERVAL_SECONDS = 0.3
_QUEUE_TIMEOUT_SECONDS = 1.0
_ENGINE_TIMEOUT_SECONDS = 2.0
_OK = 200


class MemberWatch:
    """Asks another launcher of the group for its ``/statusz``, more often while ``eager``."""

    def __init__(self, name: str, host: str, port: int) -> None:
        self.pulse = Pulse(name)
        self.latest: Member | None = None
        self.eager = True
        self._peer = Peer(host, port)
        _every(self._ask, eager=lambda: self.eager, name=f"watch-{name}")

    @property
    def address(self) -> str | None:
        """Where the other pod answered last."""
        return self._peer.address

    def _ask(self) -> None:
        try:
            self.latest = self._peer.ask()
        except fetch.RefusedError as error:
            self.pulse.refuse(str(error))
        except (fetch.UnreachableError, ValueError) as error:
            self.pulse.miss(str(error))
        else:
            self.pulse.beat(time.monotonic())


class EngineWatch:
    """Asks the engine of this pod for its ``/health`` and, while it drains, for its unfinished requests."""

    def __init__(self, host: str, port: int) -> None:
        self.pulse = Pulse("the engine")
        self.unfinished: int | None = None
        self._host = host
        self._port = port
        self._draining = False
        _every(self._ask, eager=lambda: self._draining or not self.ever_healthy, name="watch-engine")

    @property
    def ever_healthy(self) -> bool:
        return self.pulse.silent_for(time.monotonic()) != float("inf")

    def begin_drain(self) -> None:
        """From now on count what is unfinished; earlier counts do not matter."""
        self._draining = True

    def queue_length(self) -> int | None:
        """Requests running and waiting, asked now; None when the engine does not say."""
        return queue_length(self._host, self._port)

    def _ask(self) -> None:
        self._ask_health()
        if self._draining:
            self.unfinished = self.queue_length()

    def _ask_health(self) -> None:
        try:
            answer = fetch.get(self._host, self._port, "/health", timeout_seconds=_ENGINE_TIMEOUT_SECONDS)
        except fetch.RefusedError as error:
            self.pulse.refuse(str(error))
        except fetch.UnreachableError as error:
            self.pulse.miss(str(error))
        else:
            if answer.status == _OK:
                self.pulse.beat(time.monotonic())
            else:
                self.pulse.refuse(f"/health answers {answer.status}")


def queue_length(host: str, port: int) -> int | None:
    """Requests running and waiting in the engine at an address, asked now; None when it does not say."""
    try:
        answer = fetch.get(host, port, "/metrics", timeout_seconds=_QUEUE_TIMEOUT_SECONDS)
    except (fetch.RefusedError, fetch.UnreachableError):
        return None
    return metrics.queue_length(answer.body.decode("utf-8", errors="replace")) if answer.status == _OK else None


def _every(ask: Callable[[], None], *, eager: Callable[[], bool], name: str) -> None:
    def loop() -> None:
        while True:
            started = time.monotonic()
            ask()
            interval = _EAGER_INTERVAL_SECONDS if eager() else INTERVAL_SECONDS
            time.sleep(max(0.0, started + interval - time.monotonic()))

    threading.Thread(target=loop, name=name, daemon=True).start()
