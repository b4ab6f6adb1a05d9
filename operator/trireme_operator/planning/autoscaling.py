"""What the autoscalers of a resource go by: the targets, and what the loss of a zone leaves of its groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.autoscaling import Autoscaling, Metrics, MetricsSource
from trireme_operator.api.quantity import canonical
from trireme_operator.planning.plan import ClusterPlan, Regime

QUEUE_LENGTH: Final = "inference_queue_length"
"""The metric of each group's leader: requests that wait and run in all engines of the group (docs/contract.md)."""

DEFAULT_QUEUE_LENGTH: Final = 10
_MILLI: Final = 1000


@dataclass(frozen=True)
class Targets:
    """What is kept of the simple metrics; None for one that does not count.

    ``queue_milli``: requests of each group, in thousandths. ``cpu`` and ``memory``: percent of the request.
    """

    queue_milli: int | None
    cpu: int | None
    memory: int | None

    @property
    def queue_length(self) -> str | None:
        """As a quantity, in the spelling that the API server stores."""
        return None if self.queue_milli is None else canonical(f"{self.queue_milli}m")


@dataclass(frozen=True)
class LargestZone:
    """The zone with the greatest part of the traffic."""

    name: str
    share: Fraction
    """Its weight over the weights of all zones, more than 0 and less than 1."""


@dataclass(frozen=True)
class ZoneLoss:
    """What the loss of the largest zone would leave.

    ``left``: groups of the other zones. ``needed``: groups that the load of all zones would need there.
    """

    zone: str
    left: int
    needed: int


def source_of_metrics(scaling: Autoscaling) -> MetricsSource:
    """What the resource says, or the default."""
    return MetricsSource.AUTO if scaling.source is None else scaling.source


def follows_queue(scaling: Autoscaling) -> bool:
    """Whether the queue's length is one of the metrics: set, or for want of any other."""
    found = scaling.metrics or Metrics()
    others = found.cpu is not None or found.memory is not None or bool(scaling.custom_metrics)
    return found.queue_length is not None or not others


def largest_zone(plan: ClusterPlan) -> LargestZone | None:
    """Of the zones that get traffic the one with the greatest weight; None when fewer than two do.

    Of several with the same weight it is the first one in the order of the spec.
    """
    serving = [zone for zone in plan.zones if zone.name and zone.weight and zone.regime is not Regime.HELD]
    if len(serving) < 2:  # noqa: PLR2004  (what is lost, and what is left)
        return None
    first = max(serving, key=lambda zone: zone.weight)
    return LargestZone(first.name or "", Fraction(first.weight, sum(zone.weight for zone in serving)))


def targets(cluster: InferenceCluster, plan: ClusterPlan) -> Targets:
    """What is kept; with ``surviveZoneLoss`` so much less as the traffic of the largest zone is of all.

    A zone with the part w of the traffic gets w / (1 - s) of it when the one with the part s is lost. It has enough
    groups for that when each of them works at 1 - s of what it may.

    Raises:
        ValueError: the resource is not autoscaled.

    """
    scaling = cluster.spec.autoscaling
    if scaling is None:
        raise ValueError(f"{cluster.metadata.name} is not autoscaled")
    found = scaling.metrics or Metrics()
    largest = largest_zone(plan) if scaling.survive_zone_loss else None
    left = Fraction(1) if largest is None else 1 - largest.share
    queue = (found.queue_length or DEFAULT_QUEUE_LENGTH) if follows_queue(scaling) else None
    return Targets(
        queue_milli=None if queue is None else max(1, int(queue * _MILLI * left)),
        cpu=None if found.cpu is None else max(1, int(found.cpu * left)),
        memory=found.memory,
    )


def zone_loss(cluster: InferenceCluster, plan: ClusterPlan, groups: Mapping[str | None, int]) -> ZoneLoss | None:
    """What the loss of the largest zone would leave of these groups; None where nobody asked, or there is one zone.

    The groups of all zones work at 1 - s of what they may, so that s of them are the reserve.
    """
    scaling = cluster.spec.autoscaling
    largest = largest_zone(plan) if scaling is not None and scaling.survive_zone_loss else None
    if largest is None:
        return None
    total = sum(groups.values())
    left = total - groups.get(largest.name, 0)
    return ZoneLoss(zone=largest.name, left=left, needed=ceil(total * (1 - largest.share)))
