"""The rules of ``spec.preflight``, each broken once, and what they let pass."""

from typing import Any

_TWO: dict[str, Any] = {"parallelism": {"tensor": 2}, "accelerator": {"resource": "cpu"}}

BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("spec.preflight", {**_TWO, "preflight": {"mode": "Off", "minBandwidthGBps": 5}}),
    ("spec.preflight", {**_TWO, "preflight": {"mode": "Off", "timeoutSeconds": 60}}),
    ("spec", {"preflight": {"mode": "Warn", "minBandwidthGBps": 5}, "parallelism": {}}),
]
GOOD: list[dict[str, Any]] = [
    {"preflight": {"mode": "Off"}, "parallelism": {}},
    {"preflight": {"mode": "Enforce", "timeoutSeconds": 60}, "parallelism": {}},
    {**_TWO, "preflight": {"mode": "Warn", "minBandwidthGBps": 5, "timeoutSeconds": 60}},
    {"preflight": {"mode": "Warn", "minBandwidthGBps": 5}, "parallelism": {"data": 2}},
]
