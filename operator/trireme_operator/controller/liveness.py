"""What the probe asks the queue."""

from trireme_operator.controller.queue import KeyedQueue

STUCK_SECONDS = 300.0
"""A key that has waited this long for a worker means that no worker works: longer than two time limits of a run."""


def stuck(queue: KeyedQueue) -> str | None:
    """Why the process should be restarted, or None."""
    oldest = queue.oldest_seconds
    return f"a key has waited {oldest:.0f} s for a worker" if oldest > STUCK_SECONDS else None
