"""The command line of the engine, and what of its environment does not depend on the pod's index."""

from __future__ import annotations

from typing import Any, Final

from trireme_operator.api import InferenceCluster
from trireme_operator.planning import EngineSetting, GroupGeometry, engine_settings, health_settings, preflight
from trireme_operator.rendering import network
from trireme_operator.rendering.model import ModelParts
from trireme_operator.rendering.settings import Settings

ENGINE_PORT: Final = 8000
LAUNCHER_PORT: Final = 8001
MASTER_PORT: Final = 29501
DATA_PARALLEL_PORT: Final = 29550
GRACE_SECONDS: Final = 120
SETTLE_SECONDS: Final = 5
PERMIT_URL: Final = "TRIREME_PERMIT_URL"
HOME: Final = "/home/trireme"

_CONTRACT: Final = "1"
_HEALTH: Final = {
    "memberSilentSeconds": "TRIREME_MEMBER_SILENT_SECONDS",
    "memberLostSeconds": "TRIREME_MEMBER_LOST_SECONDS",
    "stallSeconds": "TRIREME_STALL_SECONDS",
    "canaryTokens": "TRIREME_CANARY_TOKENS",
}
_FLAGS: Final = {
    "maxModelLen": "max-model-len",
    "gpuMemoryPercent": "gpu-memory-utilization",
    "maxNumSeqs": "max-num-seqs",
    "maxNumBatchedTokens": "max-num-batched-tokens",
    "dtype": "dtype",
    "quantization": "quantization",
    "kvCacheDtype": "kv-cache-dtype",
    "enablePrefixCaching": "enable-prefix-caching",
    "enforceEager": "enforce-eager",
    "trustRemoteCode": "trust-remote-code",
}


def command(cluster: InferenceCluster, model: ModelParts) -> list[str]:
    """The arguments of the launcher: ``vllm serve`` with everything that is the same in all pods of a group."""
    words = ["vllm", "serve", *model.arguments, "--served-model-name", cluster.served_name, "--port", str(ENGINE_PORT)]
    for setting in engine_settings(cluster):
        words += arguments(setting)
    return [literal(word) for word in (*words, *cluster.spec.engine.extra_args)]


def literal(text: str) -> str:
    """What stands in a container's arguments or in the value of a variable for exactly this text.

    The kubelet replaces `$(NAME)` there by the value of the variable NAME, and `$$` by `$`.
    Source: k8s.io/kubernetes, third_party/forked/golang/expansion/expand.go.
    """
    return text.replace("$", "$$")


def arguments(setting: EngineSetting) -> list[str]:
    """The flag of ``vllm serve`` that a setting becomes, with its value."""
    flag = _FLAGS[setting.name]
    if isinstance(setting.value, bool):
        return [f"--{flag}" if setting.value else f"--no-{flag}"]
    value = _fraction(setting.value) if setting.name == "gpuMemoryPercent" else str(setting.value)
    return [f"--{flag}", value]


def environment(
    cluster: InferenceCluster, geometry: GroupGeometry, model: ModelParts, settings: Settings
) -> list[dict[str, Any]]:
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
        *_data_parallel(geometry),
        *_preflight(cluster),
        _value("TRIREME_RANKS_PER_POD", geometry.ranks_per_pod),
        _value("TRIREME_ENGINE_PORT", ENGINE_PORT),
        _value("TRIREME_LAUNCHER_PORT", LAUNCHER_PORT),
        _value("TRIREME_MASTER_PORT", MASTER_PORT),
        _value("TRIREME_GRACE_SECONDS", GRACE_SECONDS),
        _value("TRIREME_SETTLE_SECONDS", SETTLE_SECONDS),
        *([_value(PERMIT_URL, settings.permit_url)] if settings.permit_url else []),
        *(_value(_HEALTH[name], value) for name, value in health_settings(cluster).items()),
        _field("VLLM_HOST_IP", "status.podIP"),
        _value("HOME", HOME),
        # The user id has no entry in the image's /etc/passwd, where libraries would look for a name.
        _value("USER", "trireme"),
        _value("HF_HOME", f"{HOME}/.cache/huggingface"),
        *model.environment,
        *network.environment(cluster.spec.network),
    ]


def _data_parallel(geometry: GroupGeometry) -> list[dict[str, Any]]:
    """Absent where it says nothing, as in the templates that were stored before there was any of it."""
    found = [_value("TRIREME_EXPERT_PARALLEL", "true")] if geometry.expert else []
    if geometry.balancing is None:
        return found
    return [
        _value("TRIREME_DATA_PARALLEL_SIZE", geometry.data),
        _value("TRIREME_DATA_PARALLEL_BALANCING", geometry.balancing.value),
        _value("TRIREME_DATA_PARALLEL_PORT", DATA_PARALLEL_PORT),
        *found,
    ]


def _preflight(cluster: InferenceCluster) -> list[dict[str, Any]]:
    """Absent where it is off, as in the templates that were stored before there was one."""
    planned = preflight(cluster)
    if planned is None:
        return []
    least = [] if planned.min_bandwidth is None else [_value("TRIREME_PREFLIGHT_MIN_BANDWIDTH", planned.min_bandwidth)]
    return [
        _value("TRIREME_PREFLIGHT", planned.mode.value),
        _value("TRIREME_PREFLIGHT_TIMEOUT_SECONDS", planned.timeout_seconds),
        *least,
        _value("TRIREME_PREFLIGHT_SHARED_MEMORY", planned.shared_memory),
        _value("TRIREME_PREFLIGHT_ACCELERATOR", planned.accelerator),
        _field("TRIREME_NODE_NAME", "spec.nodeName"),
    ]


def _fraction(percent: int | str) -> str:
    """A percentage as vLLM wants it, without going through a float: 90 -> 0.90."""
    whole, rest = divmod(int(percent), 100)
    return f"{whole}.{rest:02d}"


def _value(name: str, value: str | int) -> dict[str, Any]:
    return {"name": name, "value": str(value)}


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
