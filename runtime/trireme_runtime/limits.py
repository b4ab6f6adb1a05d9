"""How the pod's termination grace period is spent, so that the launcher is gone before the kubelet kills it."""

from __future__ import annotations

from dataclasses import dataclass

_EXIT_SECONDS = 1.0
_STOP_SECONDS = 15.0
_ENGINE_OVERHEAD_SECONDS = 5.0
_BROKEN_STOP_SECONDS = 1.0


@dataclass(frozen=True)
class Limits:
    """Times from SIGTERM, all in seconds.

    settle: a leader out of rotation still takes requests that endpoints or a gateway send late.
    drain: until then running requests may finish (a worker keeps its ranks as long).
    stop: from the engine's own SIGTERM until it is killed.
    broken_stop: the same for an engine that has nothing to finish.
    engine_shutdown: the engine's ``--shutdown-timeout``, for requests that slipped in between.
    """

    settle: float
    drain: float
    stop: float
    broken_stop: float
    engine_shutdown: int


def of_grace(*, grace_seconds: int, settle_seconds: int) -> Limits:
    """The longest drain that still leaves time to stop the engine inside the grace period."""
    stop = min(_STOP_SECONDS, grace_seconds / 3)
    drain = max(0.0, grace_seconds - stop - _EXIT_SECONDS)
    return Limits(
        settle=min(float(settle_seconds), drain),
        drain=drain,
        stop=stop,
        broken_stop=min(_BROKEN_STOP_SECONDS, stop),
        engine_shutdown=max(0, int(stop - _ENGINE_OVERHEAD_SECONDS)),
    )
