"""Who is asked once a second, each in a thread of its own, so that a slow answer delays nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from trireme_runtime import fetch, metrics
from trireme_runtime.membership import Membership
from trireme_runtime.peer import Peer
from trireme_runtime.pulse import Pulse
from trireme_runtime.stall import StallWatch, samples

INTERVAL_SECONDS = 1.0
_EAGER_INTERVAL_SECONDS = 0.3
_QUEUE_TIMEOUT_SECONDS = 1.0
_SAMPLE_SECONDS = 3.0
_ENGINE_TIMEOUT_SECONDS = 2.0
_OK = 200


class MemberWatch:
    """Asks another launcher of the group for its ``/statusz``, more often while ``eager`` or after a refusal."""

    def __init__(self, membership: Membership, host: str, port: int) -> None:
        self.eager = True
        self._membership = membership
        self._peer = Peer(host, port)
        _every(
            self._ask, eager=lambda: self.eager or membership.pulse.refusals > 0, name=f"watch-{membership.place.index}"
        )

    @property
    def address(self) -> str | None:
        """Where the other pod answered last."""
        return self._peer.address

    def _ask(self) -> None:
        try:
            said = self._peer.ask()
        except fetch.RefusedError as error:
            self._membership.refuse(str(error))
        except (fetch.UnreachableError, ValueError) as error:
            self._membership.miss(str(error))
        else:
            self._membership.beat(said, time.monotonic())


class EngineWatch:
    """Asks the engine of this pod for its ``/health``, and for its metrics: does it move, and what is unfinished."""

    def __init__(self, host: str, port: int, *, silent_seconds: float, stall_seconds: float) -> None:
        self.pulse = Pulse("the engine", silent_seconds=silent_seconds)
        self.stalls = StallWatch(stall_seconds)
        self.unfinished: int | None = None
        self.requests: int | None = None
        self._host = host
        self._port = port
        self._draining = False
        # Rarely enough to cost the engine nothing, often enough to measure the limit.
        self._sample_seconds = min(_SAMPLE_SECONDS, stall_seconds / 10)
        self._next_sample = 0.0
        _every(self._ask_health, eager=lambda: self._draining or not self.ever_healthy, name="watch-engine")
        _every(self._ask_metrics, eager=lambda: self._draining or self._sample_seconds < 1, name="watch-metrics")

    @property
    def ever_healthy(self) -> bool:
        return self.pulse.steady_since is not None

    def begin_drain(self) -> None:
        """From now on count what is unfinished; earlier counts do not matter."""
        self._draining = True

    def queue_length(self) -> int | None:
        """Requests running and waiting, asked now; None when the engine does not say."""
        return queue_length(self._host, self._port)

    def _ask_metrics(self) -> None:
        now = time.monotonic()
        if not self._draining and (now < self._next_sample or not self.ever_healthy):
            return
        self._next_sample = now + self._sample_seconds
        text = _metrics(self._host, self._port)
        if text is not None:
            self.stalls.observe(samples(text), now)
        self.requests = None if text is None else metrics.queue_length(text)
        if self._draining:
            self.unfinished = self.requests

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
    text = _metrics(host, port)
    return None if text is None else metrics.queue_length(text)


def _metrics(host: str, port: int) -> str | None:
    try:
        answer = fetch.get(host, port, "/metrics", timeout_seconds=_QUEUE_TIMEOUT_SECONDS)
    except (fetch.RefusedError, fetch.UnreachableError):
        return None
    return answer.body.decode("utf-8", errors="replace") if answer.status == _OK else None


def _every(ask: Callable[[], None], *, eager: Callable[[], bool], name: str) -> None:
    def loop() -> None:
        while True:
            started = time.monotonic()
            ask()
            interval = _EAGER_INTERVAL_SECONDS if eager() else INTERVAL_SECONDS
            time.sleep(max(0.0, started + interval - time.monotonic()))

    threading.Thread(target=loop, name=name, daemon=True).start()
