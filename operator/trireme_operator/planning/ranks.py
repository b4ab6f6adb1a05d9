"""Which ranks run in each pod of a group: what the launcher will compute from its pod's index, for people to see.

vLLM numbers ranks node by node, pipeline stages outside and tensor ranks inside a stage. docs/contract.md is the text
that both sides follow; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

from trireme_operator.planning.geometry import GroupGeometry


@dataclass(frozen=True)
class Rank:
    """One rank: its number in the group, its pipeline stage and its place in that stage."""

    number: int
    pipeline: int
    tensor: int


@dataclass(frozen=True)
class PodRanks:
    """The ranks of one pod; ``node_rank`` is its index in the group, 0 for the leader, which serves HTTP."""

    node_rank: int
    ranks: tuple[Rank, ...]

    @property
    def leader(self) -> bool:
        """Whether the pod leads its group."""
        return self.node_rank == 0


def pod_ranks(geometry: GroupGeometry) -> tuple[PodRanks, ...]:
    """Every pod of a group with its ranks, in the order of the pods' indices."""
    return tuple(
        PodRanks(
            node_rank,
            tuple(
                Rank(number, number // geometry.tensor, number % geometry.tensor)
                for number in range(node_rank * geometry.ranks_per_pod, (node_rank + 1) * geometry.ranks_per_pod)
            ),
        )
        for node_rank in range(geometry.pods)
    )
