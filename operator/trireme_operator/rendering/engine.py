"""The command line of the engine, and what of its environment does not depend on the pod's index."""

from __future__ import annotations

from typing import Any, Final

from trireme_operator.api import InferenceCluster
from trireme_operator.planning import GroupGeometry

ENGINE_PORT: Final = 8000
LAUNCHER_PORT: Final = 8001
MASTER_PORT: Final = 29501
GRACE_SECONDS: Final = 120
SETTLE_SECONDS: Final = 5
HOME: Final = "/home/trireme"

_HUB: Final = "hf://"
_CONTRACT: Final = "1"


def command(cluster: InferenceCluster) -> list[str]:
    """The arguments of the launcher: ``vllm serve`` with everything that is the same in all pods of a group."""
    source, _, revision = cluster.spec.model.source.removeprefix(_HUB).partition("@")
    if not cluster.spec.model.source.startswith(_HUB):
        source, revision = cluster.spec.model.source, ""
    words = ["vllm", "serve", source]
    if revision:
        words += ["--revision", revision]
    words += ["--served-model-name", cluster.served_name, "--port", str(ENGINE_PORT)]
    config = cluster.spec.engine.config
    flags = {
        "--max-model-len": config.max_model_len,
        "--gpu-memory-utilization": _fraction(config.gpu_memory_percent),
        "--max-num-seqs": config.max_num_seqs,
        "--max-num-batched-tokens": config.max_num_batched_tokens,
    }
    for flag, value in flags.items():
        if value is not None:
            words += [flag, str(value)]
    return [*words, *cluster.spec.engine.extra_args]


def environment(cluster: InferenceCluster, geometry: GroupGeometry) -> list[dict[str, Any]]:
    """The container's environment, as docs/contract.md lists it; TRIREME_ZONE is filled in for each zone."""
    return [
        _value("TRIREME_CONTRACT", _CONTRACT),
        _value("TRIREME_CLUSTER", cluster.metadata.name),
        {"name": "TRIREME_ZONE"},
        _field("TRIREME_POD_NAME", "metadata.name"),
        _field("TRIREME_POD_NAMESPACE", "metadata.namespace"),
        _field("TRIREME_POD_UID", "metadata.uid"),
        _field("TRIREME_POD_IP", "status.podIP"),
        _value("TRIREME_TENSOR_PARALLEL_SIZE", geometry.tensor),
        _value("TRIREME_PIPELINE_PARALLEL_SIZE", geometry.pipeline),
        _value("TRIREME_RANKS_PER_POD", geometry.ranks_per_pod),
        _value("TRIREME_ENGINE_PORT", ENGINE_PORT),
        _value("TRIREME_LAUNCHER_PORT", LAUNCHER_PORT),
        _value("TRIREME_MASTER_PORT", MASTER_PORT),
        _value("TRIREME_GRACE_SECONDS", GRACE_SECONDS),
        _value("TRIREME_SETTLE_SECONDS", SETTLE_SECONDS),
        _field("VLLM_HOST_IP", "status.podIP"),
        _value("HOME", HOME),
        # The user id has no entry in the image's /etc/passwd, where libraries would look for a name.
        _value("USER", "trireme"),
        _value("HF_HOME", f"{HOME}/.cache/huggingface"),
    ]


def _fraction(percent: int | None) -> str | None:
    """A percentage as vLLM wants it, without going through a float: 90 -> 0.90."""
    return None if percent is None else f"{percent // 100}.{percent % 100:02d}"


def _value(name: str, value: str | int) -> dict[str, Any]:
    return {"name": name, "value": str(value)}


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
