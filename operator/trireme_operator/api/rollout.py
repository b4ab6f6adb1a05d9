"""``spec.rollout``: how a change of the pods reaches the zones."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from trireme_operator.api.base import Model

PROGRESS_DEADLINE_SECONDS: Final = 1800
"""The default, which is not stored."""


class RolloutStrategy(StrEnum):
    ZONE_BY_ZONE = "ZoneByZone"
    ALL_ZONES = "AllZones"


class Rollout(Model):
    """How a change of the pods reaches groups that run. Groups that are made anew for another reason keep the template
    that their zone has.
    """

    strategy: RolloutStrategy | None = None
    """`ZoneByZone`: one zone at a time. Its traffic moves to the other zones, its groups are replaced, and when all of
    them are ready the traffic comes back; then the next zone follows. A zone whose groups don't get ready stops the
    rollout, and the other zones stay as they are. No zone is taken out while another one is not whole. `AllZones`: all
    zones at the same time, in each one group after the other. Default: `ZoneByZone`. With `zones` only."""

    paused: bool | None = None
    """`true`: no further zone gets the new template; the one whose groups are being replaced is finished. Default:
    `false`."""

    progress_deadline_seconds: Annotated[int, Field(ge=60, le=86400)] | None = None
    """Seconds that a zone's groups may take to be replaced and ready. After that the condition `Progressing` is
    `False` with the zone and the cause; when they get ready later, the rollout goes on. Default: 1800."""
