"""What drills on whole zones share: the zone that is taken out or lost, and what nobody may notice."""

from __future__ import annotations

ZONE, NODE = "zone-a", "node-a"
"""What is drained or lost, and its only node. The platform prefers another one."""

ROUND_SECONDS = 180.0
"""A zone takes half a minute to leave and as long to come back, besides the longest stream and the pods' own end."""

QUIET: dict[str, float | None] = {
    "failed": 0,
    "out_of_rotation_seconds": None,
    "last_failed_seconds": None,
    "longest_silence_seconds": 1.0,
    "zones_out": 1,
}
"""What nobody may notice."""
