"""The launcher's metrics as Prometheus text, and the engine's two that say how long its queue is."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator

from trireme_runtime.stage import Stage

_QUEUE = ("vllm:num_requests_running", "vllm:num_requests_waiting")


def parse(text: str, names: Container[str]) -> Iterator[tuple[str, str, float]]:
    """Name, labels as they are written, and value of the series with one of the names; what is malformed is skipped."""
    for line in text.splitlines():
        name, brace, rest = line.partition("{")
        if not brace:
            name, _, rest = line.partition(" ")
        if name not in names:
            continue
        found, _, values = rest.rpartition("}")
        try:
            value = float(values.split()[0])
        except (IndexError, ValueError):
            continue
        if math.isfinite(value):
            yield name, found, value


def queue_length(engine_metrics: str) -> int | None:
    """Requests running and waiting, summed over all engines; None when the text has neither metric."""
    values = [value for _, _, value in parse(engine_metrics, _QUEUE)]
    return sum(int(value) for value in values) if values else None


def total(counts: Iterable[int | None]) -> int | None:
    """The sum, or None where one is not known: a part of the queue would be taken for all of it."""
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)


def text(
    *, info: dict[str, str], stage: Stage, engine_healthy: bool, queue: int | None, more: Iterable[str] = ()
) -> str:
    """What ``/metrics`` answers; the queue's length is left out where it is not known, as staleness is no zero."""
    lines = [
        *head("trireme_launcher_info", "Which pod this launcher runs in."),
        f"trireme_launcher_info{labels(info)} 1",
    ]
    lines += head("trireme_launcher_stage", "1 for the stage that the pod is in, else 0.")
    lines += [f"trireme_launcher_stage{labels({'stage': each.value})} {int(each is stage)}" for each in Stage]
    lines += head("trireme_launcher_engine_healthy", "1 while the engine runs and answers where it serves HTTP.")
    lines.append(f"trireme_launcher_engine_healthy {int(engine_healthy)}")
    if queue is not None:
        lines += head("inference_queue_length", "Requests waiting and running in the engines of this group.")
        lines.append(f"inference_queue_length {queue}")
    return "\n".join([*lines, *more, ""])


def head(name: str, description: str) -> list[str]:
    """The first two lines of a gauge."""
    return [f"# HELP {name} {description}", f"# TYPE {name} gauge"]


def labels(values: dict[str, str]) -> str:
    """``{name="value",...}``, escaped."""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in values.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
