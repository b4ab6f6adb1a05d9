"""Which ranks run in each pod of a group: what the launcher will compute from its pod's index, for people to see.

Replicas are outermost, then pipeline stages, then the tensor ranks of a stage. docs/contract.md is the text that both
sides follow; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

from trireme_operator.planning.geometry import GroupGeometry


@dataclass(frozen=True)
class Rank:
    """One rank: its number in the group, its replica, its pipeline stage and its place in that stage."""

    number: int
    data: int
    pipeline: int
    tensor: int


@dataclass(frozen=True)
class PodRanks:
    """The ranks of one pod; ``node_rank`` is its index in the group, 0 for the leader; ``serves`` HTTP or not."""

    node_rank: int
    serves: bool
    ranks: tuple[Rank, ...]

    @property
    def leader(self) -> bool:
        """Whether the pod leads its group."""
        return self.node_rank == 0


def pod_ranks(geometry: GroupGeometry) -> tuple[PodRanks, ...]:
    """Every pod of a group with its ranks, in the order of the pods' indices."""
    size = geometry.ranks_per_pod
    return tuple(
        PodRanks(
            node_rank,
            node_rank == 0 or geometry.every_pod_serves,
            tuple(_rank(geometry, number) for number in range(node_rank * size, (node_rank + 1) * size)),
        )
        for node_rank in range(geometry.pods)
    )


def _rank(geometry: GroupGeometry, number: int) -> Rank:
    stage, tensor = divmod(number, geometry.tensor)
    data, pipeline = divmod(stage, geometry.pipeline)
    return Rank(number, data, pipeline, tensor)
