"""What is known of a zone when its weight is decided."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Hold(StrEnum):
    """Why a zone is to be out of traffic, though its groups may be well."""

    DRAINING = "Draining"
    """Its share is given up in steps; none is while no other zone can take it."""
    ROLLING_OUT = "RollingOut"
    """The same, until the zone's groups are of the wanted revision."""
    DISABLED = "Disabled"
    """Its share is given up at once, and also when no other zone can take it."""


class Voice(StrEnum):
    """What the launchers of a zone's leaders let hear."""

    UNKNOWN = "Unknown"
    """They were not asked for long enough to tell."""
    HEARD = "Heard"
    SILENT = "Silent"
    """None of them has answered for `spec.failover.detectSeconds`."""


@dataclass(frozen=True)
class ZoneFacts:
    """One zone as it is observed now.

    ``ready``: ready groups that may be sent to. ``settled``: those of them that have been so, and whose zone has been
    heard, for `spec.failover.dwellSeconds`. ``was_ready``: a group that is there now was ready before, or is.
    ``proven``: a completion through the zone's Service since it left the traffic passed (True) or failed (False); None
    when none was made, or none can be asked for.
    """

    ready: int = 0
    settled: int = 0
    was_ready: bool = False
    voice: Voice = Voice.UNKNOWN
    hold: Hold | None = None
    proven: bool | None = None
