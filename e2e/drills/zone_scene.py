"""What drills on whole zones share: the zone that is taken out or lost, and what is served meanwhile."""

from __future__ import annotations

from e2e.drills.target import Layout

ZONE, NODE = "zone-a", "node-a"
"""What is drained or lost, and its only node. The platform prefers another one."""

DWELL_SECONDS, SHORT_DWELL_SECONDS = 10, 2
ZONES3 = Layout("drill-zones", {"zone-a": 1, "zone-b": 1, "zone-c": 1}, {"failover": {"returnSeconds": 20}})
"""The defaults but for the minute in which a zone comes back, which is spent many times."""
ZONES2 = Layout(
    "drill-two-zones",
    {"zone-a": 1, "zone-b": 1},
    {"failover": {"dwellSeconds": SHORT_DWELL_SECONDS, "returnSeconds": 4}},
)

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
