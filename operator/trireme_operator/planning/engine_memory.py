"""The settings of the engine that decide how much memory it takes: those with a type, the profile's, and flags.

Flags that have become settings with a type are still looked for in ``extraArgs``: a stored resource may have them.

Source of the defaults: vLLM 0.32.0, vllm/engine/arg_utils.py (get_batch_defaults) and vllm/config/cache.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.resource import CPU
from trireme_operator.planning.engine_settings import engine_settings
from trireme_operator.planning.geometry import geometry
from trireme_operator.planning.model_config import Decoder
from trireme_operator.planning.quantization import FP8, Quantization

GIB: Final = 1024**3
DEFAULT_MEMORY_PERCENT: Final = 92
_DEFAULTS_BY_DEVICE: Final = ((160 * GIB, 16384, 1024), (70 * GIB, 8192, 1024), (0, 2048, 256))
"""Least memory of the device, tokens of a step, sequences of a step."""
_TOKENS_PER_PROCESSOR_RANK: Final = 2048
_SEQUENCES_PER_PROCESSOR_RANK: Final = 128

_UNCOUNTED: Final = (
    "--cpu-offload-gb",
    "--cpu-offload-params",
    "--hf-config-path",
    "--hf-overrides",
    "--kv-cache-memory-bytes",
    "--model-impl",
    "--offload-backend",
    "--offload-group-size",
)
_FLAGS: Final = {"dtype": "--dtype", "quantization": "--quantization", "kvCacheDtype": "--kv-cache-dtype"}
"""Flags that change what is loaded, or where to, in ways that are not counted here."""


@dataclass(frozen=True)
class EngineMemory:
    """What the engine was told: bytes of a weight that isn't quantized and of a number in the KV cache, tokens of a
    sequence, sequences and tokens of a step, and the share of a device that it may use.

    ``uncounted`` names a flag or setting because of which nothing can be told; empty when all can.
    """

    value_bytes: int
    kv_bytes: int
    quantization: Quantization | None
    length: int
    sequences: int
    batched_tokens: int
    percent: int
    whole_experts: bool
    uncounted: str


def engine_memory(cluster: InferenceCluster, decoder: Decoder, *, device: int | None) -> EngineMemory:
    """The settings for a model on devices with so many bytes; None stands for a large one.

    Raises:
        InvalidResource: the ranks can't be spread over pods.

    """
    arguments = cluster.spec.engine.extra_args
    made = {setting.name: setting.value for setting in engine_settings(cluster)}
    value_bytes = 4 if _text(made, arguments, "dtype") in {"float32", "float"} else 2
    tokens, sequences = _defaults(cluster, device)
    batched = int(made.get("maxNumBatchedTokens", tokens))
    uncounted = next((flag for flag in _UNCOUNTED if argument(arguments, flag) is not None), "")
    asked = _text(made, arguments, "quantization") or argument(arguments, "-q")
    quantization = decoder.quantization
    if quantization is None and asked:
        quantization = FP8 if asked == "fp8" else None
        uncounted = uncounted or ("" if asked == "fp8" else f"quantization {asked}")
    return EngineMemory(
        value_bytes=value_bytes,
        kv_bytes=1 if _text(made, arguments, "kvCacheDtype").startswith("fp8") else value_bytes,
        quantization=quantization,
        length=int(made.get("maxModelLen", decoder.length)),
        sequences=min(int(made.get("maxNumSeqs", sequences)), batched),
        batched_tokens=batched,
        percent=int(made.get("gpuMemoryPercent", DEFAULT_MEMORY_PERCENT)),
        whole_experts=cluster.spec.parallelism.expert or argument(arguments, "--enable-expert-parallel") is not None,
        uncounted=uncounted,
    )


def _text(made: Mapping[str, int | bool | str], arguments: Sequence[str], name: str) -> str:
    """A setting by its field or, where that is not set, by its flag; empty when neither is there."""
    return str(made.get(name) or argument(arguments, _FLAGS[name]) or "")


def argument(arguments: Sequence[str], flag: str) -> str | None:
    """The value of a flag of ``extraArgs``, empty for one that stands alone; None when it is not there.

    A name may have ``_`` for ``-``; a unique beginning of a long flag's name is taken for the flag, as vLLM does.
    """
    for index, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        name = name.partition(".")[0].replace("_", "-") if word.startswith("--") else name
        if name == flag or (word.startswith("--") and len(name) > len("--kv") and flag.startswith(name)):
            following = arguments[index + 1] if index + 1 < len(arguments) else ""
            return value if equals else "" if following.startswith("-") else following
    return None


def _defaults(cluster: InferenceCluster, device: int | None) -> tuple[int, int]:
    if cluster.spec.accelerator.resource == CPU:
        ranks = geometry(cluster).world_size
        return _TOKENS_PER_PROCESSOR_RANK * ranks, _SEQUENCES_PER_PROCESSOR_RANK * ranks
    if device is None:
        return _DEFAULTS_BY_DEVICE[1][1:]
    return next((tokens, sequences) for least, tokens, sequences in _DEFAULTS_BY_DEVICE if device >= least)
