"""The engine of a resource: vLLM, its image and its settings."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from trireme_operator.api.base import ATOMIC, Model

DEFAULT_IMAGE: Final = "vllm/vllm-openai:v0.33.0"


class PullPolicy(StrEnum):
    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class Profile(StrEnum):
    """Named settings of the engine (``api.profiles`` says which)."""

    PRODUCTION = "production"
    MEMORY_CONSTRAINED = "memory-constrained"
    DEVELOPMENT = "development"


class DataType(StrEnum):
    """Number format of weights and activations. vLLM knows more names for the same three."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


class EngineConfig(Model):
    """Settings of the engine that have a type; each becomes one flag of vLLM. What is absent is left to the profile,
    and without one to vLLM's own default.
    """

    max_model_len: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Longest sequence, prompt and answer together, in tokens (`--max-model-len`). Default: the model's own length."""

    gpu_memory_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """Share of each accelerator's memory that the engine takes for weights and KV cache, in percent
    (`--gpu-memory-utilization`)."""

    max_num_seqs: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Most sequences that one step of the engine works on (`--max-num-seqs`)."""

    max_num_batched_tokens: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Most tokens that one step of the engine works on (`--max-num-batched-tokens`)."""

    dtype: DataType | None = None
    """Number format of weights and activations (`--dtype`). `auto`, the default: as the model's own files say."""

    quantization: Annotated[str, Field(min_length=1, max_length=64, pattern="^[a-z0-9][a-z0-9_-]*$")] | None = None
    """How weights are quantized, by the engine's own name such as `fp8`, `awq` or `gptq` (`--quantization`). Default:
    as the model's own files say."""

    kv_cache_dtype: Annotated[str, Field(min_length=1, max_length=64, pattern="^[a-z0-9][a-z0-9_]*$")] | None = None
    """Number format of the KV cache, by the engine's own name such as `fp8` (`--kv-cache-dtype`). `fp8` takes half the
    memory of 16 bits and needs an accelerator that has it. Default: as the model computes."""

    enable_prefix_caching: bool | None = None
    """Whether the KV cache of a common beginning of prompts is used again (`--enable-prefix-caching`). Default: yes for
    models that can."""

    enforce_eager: bool | None = None
    """Whether to do without compilation and CUDA graphs (`--enforce-eager`): it starts faster and takes less memory of
    the accelerator, and each token takes longer. Default: no."""

    trust_remote_code: bool | None = None
    """Whether Python code from the model's own files is run inside the pods (`--trust-remote-code`). Some new models
    need it; it is as if it were part of the image, so name a revision. Default: no."""


class Engine(Model):
    """The engine that runs the model: vLLM."""

    image: Annotated[str, Field(min_length=1, max_length=512)] = DEFAULT_IMAGE
    """The engine's image: any that has `vllm` 0.18 or newer (tested with 0.32) and Python 3.10 or newer on its PATH.
    The launcher is injected at start, so a stock image needs no change."""

    image_pull_policy: PullPolicy | None = None
    """When a node pulls the image. Default: as Kubernetes decides, `Always` for the tag `latest`, else
    `IfNotPresent`."""

    profile: Profile | None = None
    """A named set of settings for those that `config` leaves out; `trireme plan` lists them. `production`: all of the
    accelerator but a reserve, compiled. `memory-constrained`: room for a model that barely fits, at the price of speed.
    `development`: starts fast, few sequences at once. Default: none, vLLM's own defaults."""

    config: EngineConfig = EngineConfig()
    """Settings of the engine that have a type."""

    extra_args: list[Annotated[str, Field(min_length=1, max_length=2048)]] = Field(
        default_factory=list, max_length=64, json_schema_extra=ATOMIC
    )
    """Further arguments of `vllm serve`, one word an item, the same for every pod. Flags that another field stands for,
    or that the launcher derives from the pod's index, are refused under every spelling that vLLM takes."""
