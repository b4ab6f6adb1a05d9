"""The devices' part of the launcher's metrics, as Prometheus text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trireme_runtime.accelerators.reading import Reading
from trireme_runtime.metrics import head, labels

_PREFIX = "trireme_launcher_accelerator_"

_GAUGES: tuple[tuple[str, str, Callable[[Reading], float | None]], ...] = (
    ("utilization_ratio", "Share of the time in which something ran on a rank's device.", lambda it: it.utilization),
    ("memory_used_bytes", "Memory of a rank's device that is in use, by whomever.", lambda it: it.memory_used),
    ("memory_total_bytes", "Memory of a rank's device.", lambda it: it.memory_total),
    ("temperature_celsius", "Temperature of a rank's device.", lambda it: it.temperature),
    ("last_xid", "Number of the last XID error of a rank's device, 0 without one.", lambda it: it.last_xid),
)


def lines(readings: Sequence[Reading]) -> list[str]:
    """All of it as Prometheus text."""
    found: list[str] = []
    if not readings:
        return found
    for name, text, of in _GAUGES:
        values = [(each, of(each)) for each in readings]
        told = [f"{_PREFIX}{name}{_labels(each)} {value}" for each, value in values if value is not None]
        found += [*head(f"{_PREFIX}{name}", text), *told] if told else []
    name = f"{_PREFIX}xid_errors_total"
    found += [f"# HELP {name} XID errors of a rank's device since the launcher started.", f"# TYPE {name} counter"]
    return found + [f"{name}{_labels(each)} {each.xids}" for each in readings]


def _labels(reading: Reading) -> str:
    return labels({"rank": str(reading.rank), "uuid": reading.uuid})
