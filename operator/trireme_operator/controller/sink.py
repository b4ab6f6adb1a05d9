"""What the handlers tell the queue, and what the probe asks it."""

from trireme_operator.controller.metrics import Metrics
from trireme_operator.controller.queue import Key, KeyedQueue

STUCK_SECONDS = 300.0
"""A key that has waited this long for a worker means that no worker works: longer than two time limits of a run."""


class QueueSink:
    """The one implementation of `handlers.Sink`."""

    def __init__(self, queue: KeyedQueue, metrics: Metrics) -> None:
        self._queue = queue
        self._metrics = metrics

    def enqueue(self, key: Key) -> None:
        """See `handlers.Sink.enqueue`."""
        self._queue.add(key)

    def enqueue_all(self) -> None:
        """See `handlers.Sink.enqueue_all`: every resource is known, since each waits for its next full look."""
        for key in self._queue.known():
            self._queue.add(key)

    def saw(self, kind: str, event_type: str | None) -> None:
        """See `handlers.Sink.saw`."""
        self._metrics.saw(kind, event_type)

    def problem(self) -> str | None:
        """Why the process should be restarted, or None."""
        oldest = self._queue.oldest_seconds
        return f"a key has waited {oldest:.0f} s for a worker" if oldest > STUCK_SECONDS else None
