"""How much the drills under load and on whole zones take: in full, short for a gate, or from a real model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from e2e.drills.client import Shape
from e2e.drills.target import Engine, Layout


@dataclass(frozen=True, kw_only=True)
class Size:
    """Requests, rounds and seconds of the drills with one engine."""

    engine: Engine
    shape: Shape
    before: int
    """Requests answered before the event: of those that take long, some run in each group by then."""
    requests: int
    """Of each drill under load, at least."""
    zones: Layout
    """What drills on whole zones are run on."""
    rounds: int
    """How often a zone is drained."""
    drained_requests: int
    """Meanwhile, at least."""
    away_seconds: float
    """How long a zone is cut off: less than Kubernetes takes to notice that a node does not answer."""
    dwell_seconds: float
    """``failover.dwellSeconds`` of what is served."""
    short: bool = False
    """With company on its machine: it tells of nothing but what was lost, and only some drills are run."""


_FULL_ZONES = Layout("drill-zones", {"zone-a": 1, "zone-b": 1, "zone-c": 1}, {"failover": {"returnSeconds": 20}})
"""The defaults but for the minute in which a zone comes back, which is spent many times."""
_MODEL_ZONES = Layout("drill-zones", {"zone-a": 1, "zone-b": 1}, {"failover": {"returnSeconds": 20}})
_SHORT_ZONES = Layout(
    "drill-two-zones", {"zone-a": 1, "zone-b": 1}, {"failover": {"dwellSeconds": 2, "returnSeconds": 4}}
)


def guarded(zones: Layout) -> Layout:
    """The same with what is off by default: a gateway that sends again, and more groups for the zones that are left."""
    failover = {**zones.spec["failover"], "survivorFloor": 1}
    gateway = {"policy": "AggressiveRetry"}
    return replace(zones, name=f"{zones.name}-guarded", spec={**zones.spec, "failover": failover}, gateway=gateway)


FULL = Size(
    engine=Engine.DOUBLE,
    # Half of 100 requests a second are streams, and every 400th runs for a minute: 0.1 s a token.
    shape=Shape(100, stream=True, long_every=400, long_tokens=600),
    before=1500,
    requests=5200,  # of each of the four under load: more than 20 000
    zones=_FULL_ZONES,
    rounds=10,
    drained_requests=20_000,
    away_seconds=25.0,
    dwell_seconds=10.0,
)
SHORT = Size(
    engine=Engine.DOUBLE,
    shape=Shape(50, stream=True, long_every=50, long_tokens=80),
    before=125,
    requests=550,
    zones=_SHORT_ZONES,
    rounds=1,
    drained_requests=0,
    away_seconds=12.0,
    dwell_seconds=2.0,
    short=True,
)
MODEL = Size(
    engine=Engine.VLLM,
    # What a model on two cores serves while another group loads on the same ones.
    shape=Shape(2, stream=True, long_every=20, long_tokens=240, answer_seconds=60),
    before=40,
    requests=120,
    zones=_MODEL_ZONES,
    rounds=1,
    drained_requests=0,
    away_seconds=25.0,
    dwell_seconds=10.0,
)
