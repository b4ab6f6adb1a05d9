"""``spec.preflight``: node and network proven before the engine loads."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trireme_operator.api.base import Model


class PreflightMode(StrEnum):
    """What follows from a check that fails."""

    OFF = "Off"
    WARN = "Warn"
    ENFORCE = "Enforce"


class Preflight(Model):
    """Checks of each group before its engines start: devices, memory, shared memory, the leader's name, ports between
    all pods, bandwidth and latency between them.
    """

    mode: PreflightMode
    """What follows from a check that fails. `Off`: nothing is checked. `Warn`: the group starts all the same, and the
    launcher says which node or link is bad. `Enforce`: the group ends with the reason PreflightFailed and is tried
    again. In YAML, write `"Off"` in quotes."""

    min_bandwidth_g_bps: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Least bandwidth in GB/s (10^9 bytes a second) of each pair of pods, one rank in each, and of an all-reduce over
    all ranks (bus bandwidth). A bandwidth that cannot be measured then counts as too low. Default: bandwidth is
    measured and not judged."""

    timeout_seconds: Annotated[int, Field(ge=10, le=3600)] | None = None
    """Seconds for the whole preflight of a group. What is not finished then has failed. Default: 120."""
