"""What ``trireme plan`` says of autoscaling: what the groups follow, and the reserve for the loss of a zone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trireme_operator.api import InferenceCluster
from trireme_operator.planning import ClusterPlan, largest_zone, source_of_metrics, targets, zone_loss


def data(cluster: InferenceCluster, planned: ClusterPlan) -> dict[str, Any] | None:
    """For other programs; None without autoscaling. The groups of a loss are those that the zones start with."""
    scaling = cluster.spec.autoscaling
    if scaling is None:
        return None
    wanted = targets(cluster, planned)
    loss = zone_loss(cluster, planned, {zone.name: zone.replicas for zone in planned.zones})
    largest = largest_zone(planned)
    reserve = None
    if loss is not None and largest is not None:
        share = int(largest.share * 1000)
        reserve = {"zone": loss.zone, "sharePermille": share, "left": loss.left, "needed": loss.needed}
    return {
        "source": source_of_metrics(scaling).value,
        "targets": {"queueLength": wanted.queue_length, "cpu": wanted.cpu, "memory": wanted.memory},
        "customMetrics": [metric.type.value for metric in scaling.custom_metrics or ()],
        "zoneLoss": reserve,
    }


def lines(shown: dict[str, Any] | None) -> Iterator[str]:
    """The same in words."""
    if shown is None:
        return
    found = shown["targets"]
    told = [f"queue length {found['queueLength']}"] if found["queueLength"] is not None else []
    told += [f"{name} {found[name]} %" for name in ("cpu", "memory") if found[name] is not None]
    told += [f"a metric of type {kind}" for kind in shown["customMetrics"]]
    yield f"groups follow: {', '.join(told)} (source {shown['source']})"
    loss = shown["zoneLoss"]
    if loss is not None:
        share = f"{loss['sharePermille'] // 10}.{loss['sharePermille'] % 10} %"
        yield (
            f"if zone {loss['zone']} is lost, with {share} of the traffic: {loss['left']} groups are left at the start,"
            f" {loss['needed']} are needed"
        )
