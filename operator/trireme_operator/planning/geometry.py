"""How many pods make a group, and how many ranks are in each.

Ranks are numbered replica by replica (data), inside a replica stage by stage (pipeline), inside a stage one by one
(tensor), and pods take them in that order. docs/adr/0007-parallelism.md says which shapes there are and why.
"""

from __future__ import annotations

from dataclasses import dataclass

from trireme_operator.api import InferenceCluster, InvalidResource, Violation
from trireme_operator.api.parallelism import LoadBalancing, Parallelism

_MOST_PER_POD = 64


@dataclass(frozen=True)
class GroupGeometry:
    """The shape of one group: ``pods`` x ``ranks_per_pod`` = ``tensor`` x ``pipeline`` x ``data``.

    ``balancing`` is None without data parallelism.
    """

    pods: int
    ranks_per_pod: int
    tensor: int
    pipeline: int
    data: int = 1
    expert: bool = False
    balancing: LoadBalancing | None = None

    @property
    def world_size(self) -> int:
        """Ranks in the group."""
        return self.pods * self.ranks_per_pod

    @property
    def every_pod_serves(self) -> bool:
        """Whether each pod answers HTTP, not the leader alone."""
        return self.balancing in {LoadBalancing.HYBRID, LoadBalancing.EXTERNAL}


def geometry(cluster: InferenceCluster) -> GroupGeometry:
    """The shape of each of the resource's groups.

    Raises:
        InvalidResource: the ranks can't be spread evenly over pods (the API server refuses this too).

    """
    parallelism = cluster.spec.parallelism
    per_pod = cluster.spec.accelerator.per_pod or parallelism.tensor
    ranks = parallelism.tensor * parallelism.pipeline * parallelism.data
    if not _fits(parallelism, per_pod):
        raise InvalidResource(Violation("spec.accelerator.perPod", _arithmetic(parallelism, per_pod)))
    balancing = (parallelism.load_balancing or LoadBalancing.INTERNAL) if parallelism.data > 1 else None
    return GroupGeometry(
        pods=ranks // per_pod,
        ranks_per_pod=per_pod,
        tensor=parallelism.tensor,
        pipeline=parallelism.pipeline,
        data=parallelism.data,
        expert=parallelism.expert,
        balancing=balancing,
    )


def _fits(parallelism: Parallelism, per_pod: int) -> bool:
    """Whether every pod holds the same: a part of a stage, whole stages of one replica, or whole replicas."""
    tensor, replica = parallelism.tensor, parallelism.tensor * parallelism.pipeline
    part_of_a_stage = tensor % per_pod == 0
    whole_stages = per_pod % tensor == 0 and replica % per_pod == 0
    whole_replicas = per_pod % replica == 0 and (replica * parallelism.data) % per_pod == 0
    return part_of_a_stage or whole_stages or whole_replicas


def _arithmetic(parallelism: Parallelism, per_pod: int) -> str:
    sizes = [("tensor", parallelism.tensor), ("pipeline", parallelism.pipeline), ("data", parallelism.data)]
    product = " x ".join(f"{name} {size}" for name, size in sizes if name != "data" or size > 1)
    ranks = parallelism.tensor * parallelism.pipeline * parallelism.data
    first, *others = (size for size in range(_MOST_PER_POD, 0, -1) if _fits(parallelism, size))
    pods = ranks // first
    choices = [f"{pods} pod{'s' if pods > 1 else ''} of {first}", *(f"{ranks // size} of {size}" for size in others)]
    return f"{product} = {ranks} ranks need {', or '.join(choices)}; perPod is {per_pod}"
