"""How the ranks of a group find each other: the parallel flags of this pod's engine.

There are two wirings (docs/adr/0007-parallelism.md has the reasons):

- *Nodes*: a replica spans pods. All pods are nodes of one world (``--nnodes``, ``--node-rank``), and vLLM derives which
  replica a node belongs to. The leader serves HTTP.
- *Replicas in pods*: each pod holds one or more whole replicas, which are told their number (``--data-parallel-*``).
  The leader serves HTTP, or every pod does.

Sources: vllm/engine/arg_utils.py, vllm/entrypoints/cli/serve.py and vllm/v1/engine/utils.py of vLLM 0.32.0.
"""

from __future__ import annotations

from trireme_runtime.environment import Balancing, Environment

_DISTRIBUTED_TIMEOUT_SECONDS = 1800
"""Of the process groups. All launchers start their engines together, so it does not have to cover image pulls;
it has to cover ranks that load their weights at different speed (torch's own default for gloo is the same)."""


def flags(environment: Environment) -> list[str]:
    """The parallel flags of this pod."""
    words = ["--tensor-parallel-size", str(environment.tensor_parallel_size)]
    words += ["--pipeline-parallel-size", str(environment.pipeline_parallel_size)]
    if environment.expert_parallel:
        words.append("--enable-expert-parallel")
    if environment.data_parallel_size > 1:
        words += ["--data-parallel-size", str(environment.data_parallel_size)]
    if environment.group_size == 1:
        return words
    if environment.data_parallel_size > 1:
        words += ["--data-parallel-address", _leader(environment)]
        words += ["--data-parallel-rpc-port", str(environment.data_parallel_port)]
    words += _replica_flags(environment) if spans_whole_replicas(environment) else _node_flags(environment)
    words += ["--distributed-timeout-seconds", str(_DISTRIBUTED_TIMEOUT_SECONDS)]
    return words if environment.serves else [*words, "--headless"]


def spans_whole_replicas(environment: Environment) -> bool:
    """Whether each pod holds whole replicas of a group that has several."""
    return environment.data_parallel_size > 1 and environment.ranks_per_pod % environment.replica_size == 0


def _leader(environment: Environment) -> str:
    # The leader needs no DNS for itself; workers reach it by the name that outlives its pod.
    return environment.pod_ip if environment.is_leader else environment.leader_address


def _node_flags(environment: Environment) -> list[str]:
    words = ["--nnodes", str(environment.group_size), "--node-rank", str(environment.worker_index)]
    words += ["--master-addr", _leader(environment), "--master-port", str(environment.master_port)]
    return [*words, "--distributed-executor-backend", "mp"]


def _replica_flags(environment: Environment) -> list[str]:
    local = environment.ranks_per_pod // environment.replica_size
    first = environment.worker_index * local
    if environment.balancing is Balancing.EXTERNAL:
        return ["--data-parallel-rank", str(first)]
    words = ["--data-parallel-size-local", str(local)]
    if environment.balancing is Balancing.HYBRID:
        return [*words, "--data-parallel-start-rank", str(first), "--data-parallel-hybrid-lb"]
    # A start rank on a pod that is not headless would mean hybrid load balancing, so the leader has none.
    return words if environment.is_leader else [*words, "--data-parallel-start-rank", str(first)]
