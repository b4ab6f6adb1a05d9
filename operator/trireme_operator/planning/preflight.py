"""The preflight of each group, with what the resource leaves out filled in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.preflight import PreflightMode
from trireme_operator.api.quantity import value_of

DEFAULT_TIMEOUT_SECONDS: Final = 120


@dataclass(frozen=True)
class PreflightPlan:
    """What launchers check: ``shared_memory`` in bytes; ``min_bandwidth`` in GB/s, None for no lower limit."""

    mode: PreflightMode
    timeout_seconds: int
    min_bandwidth: int | None
    shared_memory: int
    accelerator: str


def preflight(cluster: InferenceCluster) -> PreflightPlan | None:
    """The preflight of a resource; None where there is none."""
    wanted = cluster.spec.preflight
    if wanted is None or wanted.mode is PreflightMode.OFF:
        return None
    return PreflightPlan(
        mode=wanted.mode,
        timeout_seconds=wanted.timeout_seconds or DEFAULT_TIMEOUT_SECONDS,
        min_bandwidth=wanted.min_bandwidth_g_bps,
        shared_memory=math.floor(value_of(cluster.spec.resources.shared_memory)),
        accelerator=cluster.spec.accelerator.resource,
    )
