"""How many pods make a group, and how many ranks are in each."""

from __future__ import annotations

from dataclasses import dataclass

from trireme_operator.api import InferenceCluster, InvalidResource, Violation


@dataclass(frozen=True)
class GroupGeometry:
    """The shape of one group: ``pods`` x ``ranks_per_pod`` = ``tensor`` x ``pipeline``."""

    pods: int
    ranks_per_pod: int
    tensor: int
    pipeline: int

    @property
    def world_size(self) -> int:
        """Ranks in the group."""
        return self.pods * self.ranks_per_pod


def geometry(cluster: InferenceCluster) -> GroupGeometry:
    """The shape of each of the resource's groups.

    Raises:
        InvalidResource: the ranks can't be spread evenly over pods (the API server refuses this too).

    """
    tensor, pipeline = cluster.spec.parallelism.tensor, cluster.spec.parallelism.pipeline
    per_pod = cluster.spec.accelerator.per_pod or tensor
    ranks = tensor * pipeline
    if ranks % per_pod:
        raise InvalidResource(
            Violation(
                "spec.accelerator.perPod",
                f"{ranks} ranks (tensor {tensor} x pipeline {pipeline}) can not be spread over pods of {per_pod}:"
                " choose a number that divides them",
            )
        )
    return GroupGeometry(pods=ranks // per_pod, ranks_per_pod=per_pod, tensor=tensor, pipeline=pipeline)
