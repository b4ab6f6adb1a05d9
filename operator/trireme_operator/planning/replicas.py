"""How many groups a zone's LeaderWorkerSet is to be given, if any number at all.

Three regimes, told each time from the resource and from what is observed, never from what an earlier run remembered.
Facts that shape them (LeaderWorkerSet 0.9, Kubernetes 1.36): ``spec.replicas`` defaults to 1; an autoscaler writes it
through the scale subresource; one that finds 0 leaves it alone, so a zone comes back only by our own write.
"""

from __future__ import annotations

from dataclasses import dataclass

from trireme_operator.planning.plan import Regime, ZonePlan

DEFAULT_REPLICAS = 1
"""What the API server fills in where nobody has said a number."""


@dataclass(frozen=True)
class Scale:
    """The number of groups of a zone as it is observed.

    ``replicas``: what the LeaderWorkerSet asks for now. ``untouched``: its spec is as it was made, so that a
    number equal to the default may be nobody's. ``autoscaler``: an autoscaler of the zone exists. ``desired``: the
    groups that it last wanted, None where it has not said. ``drained``: no traffic is sent to the zone any more.
    """

    replicas: int
    untouched: bool = False
    autoscaler: bool = False
    desired: int | None = None
    drained: bool = True


def replicas_to_apply(zone: ZonePlan, scale: Scale) -> int | None:
    """The number of groups that we have to write now, or None to leave the number to whoever wrote it.

    - Fixed: the spec's number, or the zone's floor where that is more, unless it stands. Not while an autoscaler
      exists, which would write its own again.
    - Held: 0, once no traffic is sent to the zone, and likewise not while an autoscaler exists.
    - Autoscaled: a number to start with where there is none: the zone has no group (it was held, or had been given 0),
      or a new LeaderWorkerSet still has its default. Where the autoscaler of a set that was deleted and made again
      remembers what it wanted, that is the number. Any other is the autoscaler's.
    """
    if zone.regime is Regime.AUTOSCALED:
        wanted = _start(zone, scale)
    elif scale.autoscaler or (zone.regime is Regime.HELD and not scale.drained):
        wanted = None
    else:
        wanted = zone.wanted
    return None if wanted == scale.replicas else wanted


def _start(zone: ZonePlan, scale: Scale) -> int | None:
    if scale.replicas == 0:
        return zone.replicas
    # The autoscaler is made after the number was written: before there is one, the default is nobody's decision.
    if scale.replicas == DEFAULT_REPLICAS and (scale.untouched or not scale.autoscaler):
        return _remembered(zone, scale.desired) or zone.replicas
    return None


def _remembered(zone: ZonePlan, desired: int | None) -> int | None:
    if not desired or zone.min_replicas is None or zone.max_replicas is None:
        return None
    return min(max(desired, zone.min_replicas), zone.max_replicas)
