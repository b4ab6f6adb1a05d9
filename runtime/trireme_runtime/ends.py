"""Must this pod, and with it its group, end? Decisions only.

A proof of a death ends it at once. Suspicion (silence, a stall, an engine that does not answer) ends it after its time
limit, and only with the consent of somebody who sees the whole zone (consent.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from trireme_runtime.membership import Loss
from trireme_runtime.stall import Stall
from trireme_runtime.termination import Cause


@dataclass(frozen=True)
class Signs:
    """What speaks against the group.

    lost: a member that has been silent beyond its limit.
    stall: of this pod's own engine.
    unhealthy_for, unhealthy: seconds for which it did not answer its ``/health`` after it once did, and what is wrong.
    """

    death: Loss | None = None
    lost: Loss | None = None
    stall: Stall | None = None
    unhealthy_for: float = 0.0
    unhealthy: str = ""


def proof(signs: Signs) -> Cause | None:
    """The first cause as far as this pod knows it, of an end that nothing can put off."""
    return None if signs.death is None else _of(signs.death)


def suspicion(signs: Signs, *, now: float, unhealthy_limit: float) -> Cause | None:
    """What is beyond its time limit without a proof, or None."""
    if signs.stall is not None:
        seconds = int(now - signs.stall.since)
        return Cause("Stalled", f"{signs.stall.running} requests run and the engine has done nothing for {seconds} s")
    if signs.lost is not None:
        return Cause("MemberLost", str(signs.lost), pod=signs.lost.place.pod, rank=signs.lost.place.rank)
    if signs.unhealthy_for > unhealthy_limit:
        return Cause("EngineUnhealthy", f"{signs.unhealthy}, for more than {unhealthy_limit:g} s")
    return None


def _of(death: Loss) -> Cause:
    """What the member said itself comes first; without that its death is what is known."""
    if death.cause is None:
        return Cause("MemberDead", str(death), pod=death.place.pod, rank=death.place.rank)
    return death.cause
