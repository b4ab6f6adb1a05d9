"""The launcher's metrics as Prometheus text, and the engine's two that say how long its queue is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from trireme_runtime import status_metrics
from trireme_runtime.exposition import head, sample
from trireme_runtime.stage import Stage

_QUEUE = ("vllm:num_requests_running", "vllm:num_requests_waiting")


def queue_length(engine_metrics: str) -> int | None:
    """Requests running and waiting, summed over all engines; None when the text has neither metric."""
    total = 0
    found = False
    for line in engine_metrics.splitlines():
        name, brace, rest = line.partition("{")
        if not brace:
            name, _, rest = line.partition(" ")
        if name not in _QUEUE:
            continue
        try:
            value = float(rest.rpartition("}")[2].split()[0])
        except (IndexError, ValueError):
            continue
        if math.isfinite(value):
            total += int(value)
            found = True
    return total if found else None


def total(counts: Iterable[int | None]) -> int | None:
    """The sum, or None where one is not known: a part of the queue would be taken for all of it."""
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)


def text(
    *,
    info: dict[str, str],
    stage: Stage,
    engine_healthy: bool,
    queue: int | None,
    status: Mapping[str, Any],
    now: float,
    restarted_in_place: bool = False,
) -> str:
    """What ``/metrics`` answers; the queue's length is left out where it is not known, as staleness is no zero.

    ``status`` is the answer of ``/statusz``, ``now`` the time in seconds since the epoch.
    """
    lines = [*head("trireme_launcher_info", "Which pod this launcher runs in.")]
    lines.append(sample("trireme_launcher_info", 1, **info))
    lines += head("trireme_launcher_stage", "1 for the stage that the pod is in, else 0.")
    lines += [sample("trireme_launcher_stage", each is stage, stage=each.value) for each in Stage]
    lines += head("trireme_launcher_engine_healthy", "1 while the engine runs and answers where it serves HTTP.")
    lines.append(sample("trireme_launcher_engine_healthy", engine_healthy))
    lines += head("trireme_launcher_restarted_in_place", "1 when the container was restarted inside the same pod.")
    lines.append(sample("trireme_launcher_restarted_in_place", restarted_in_place))
    lines += status_metrics.lines(status, now)
    if queue is not None:
        lines += head("inference_queue_length", "Requests waiting and running in the engines of this group.")
        lines.append(sample("inference_queue_length", queue))
    return "\n".join([*lines, ""])
