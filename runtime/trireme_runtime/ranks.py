"""Which ranks of the model run in a pod, from the pod's index alone.

vLLM numbers ranks node by node, pipeline stages outside and tensor ranks inside a stage
(vllm/v1/executor/multiproc_executor.py): with tensor 8 and pipeline 4, ranks 0 to 7 are stage 0.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rank:
    """One rank: its number in the group, in the pod, its pipeline stage and its place in that stage."""

    global_rank: int
    local: int
    pipeline: int
    tensor: int

    def as_json(self) -> dict[str, int]:
        return {"global": self.global_rank, "local": self.local, "pipeline": self.pipeline, "tensor": self.tensor}


def of_pod(*, node_rank: int, ranks_per_pod: int, tensor_parallel_size: int) -> tuple[Rank, ...]:
    """The ranks of the pod with this index, in local order."""
    first = node_rank * ranks_per_pod
    return tuple(
        Rank(
            global_rank=first + local,
            local=local,
            pipeline=(first + local) // tensor_parallel_size,
            tensor=(first + local) % tensor_parallel_size,
        )
        for local in range(ranks_per_pod)
    )
