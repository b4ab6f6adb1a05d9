"""Which ranks of the model run in a pod, from the pod's index alone.

vLLM numbers ranks node by node: replicas (data) outside, pipeline stages inside a replica, tensor ranks inside a stage
(vllm/v1/executor/multiproc_executor.py): with tensor 8 and pipeline 4, ranks 0 to 7 are stage 0 of replica 0.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rank:
    """One rank: its number in the group, in the pod, its replica, its pipeline stage and its place in that stage."""

    global_rank: int
    local: int
    data: int
    pipeline: int
    tensor: int

    def as_json(self) -> dict[str, int]:
        return {
            "global": self.global_rank,
            "local": self.local,
            "data": self.data,
            "pipeline": self.pipeline,
            "tensor": self.tensor,
        }


def of_pod(
    *, node_rank: int, ranks_per_pod: int, tensor_parallel_size: int, pipeline_parallel_size: int
) -> tuple[Rank, ...]:
    """The ranks of the pod with this index, in local order."""
    found = []
    for local in range(ranks_per_pod):
        number = node_rank * ranks_per_pod + local
        stage, tensor = divmod(number, tensor_parallel_size)
        data, pipeline = divmod(stage, pipeline_parallel_size)
        found.append(Rank(number, local, data, pipeline, tensor))
    return tuple(found)
