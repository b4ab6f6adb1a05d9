"""What is known of the device of one rank."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """One rank's device now. None is what the driver does not report.

    utilization: share of the last sample period in which something ran, 0 to 1. Memory in bytes, temperature in degrees
    Celsius. xids: XID errors since it has been read; last_xid: the number of the last one, 0 without one.
    """

    rank: int
    uuid: str
    utilization: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    temperature: int | None = None
    xids: int = 0
    last_xid: int = 0
