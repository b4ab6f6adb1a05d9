"""What is known of a zone when its weight is decided."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trireme_operator.planning.balancing import Queue


class Hold(StrEnum):
    """Why a zone is to be out of traffic, though its groups may be well."""

    DRAINING = "Draining"
    """Its share is given up in steps; none is while no other zone can take it."""
    ROLLING_OUT = "RollingOut"
    """The same, until the zone's groups are of the wanted revision."""
    NODE_MAINTENANCE = "NodeMaintenance"
    """The same, while a node of its only group is about to be emptied."""
    DISABLED = "Disabled"
    """Its share is given up at once, and also when no other zone can take it."""


class Voice(StrEnum):
    """What the launchers of a zone's leaders let hear."""

    UNKNOWN = "Unknown"
    """They were not asked for long enough to tell, or can't be reached at all."""
    HEARD = "Heard"
    SILENT = "Silent"
    """None of them has answered for `spec.failover.detectSeconds`, and those of another zone have meanwhile."""
    CUT_OFF = "CutOff"
    """The same, but nobody else was heard meanwhile: the observer may be cut off."""


class Proof(StrEnum):
    """A completion through the zone's Service, since it left the traffic."""

    UNAVAILABLE = "Unavailable"
    """Nobody can be asked for one: none is needed then."""
    PENDING = "Pending"
    PASSED = "Passed"
    FAILED = "Failed"


@dataclass(frozen=True)
class ZoneFacts:
    """One zone as it is observed now.

    ``ready``: ready groups that may be sent to. ``settled``: those of them that have been so, and whose zone has been
    heard, for `spec.failover.dwellSeconds`; ``settles``: seconds until that number may grow, None when it will not by
    itself. ``was_ready``: a group that is there now is ready, or was. ``judged``: seconds until the voice may be
    another one without news. ``queue``: None while it can't be known yet how long it is, or nobody asked.
    """

    ready: int = 0
    settled: int = 0
    settles: float | None = None
    was_ready: bool = False
    voice: Voice = Voice.UNKNOWN
    judged: float | None = None
    hold: Hold | None = None
    proof: Proof = Proof.UNAVAILABLE
    queue: Queue | None = None
