"""Dimensions of well-known models, so that a resource that names one is judged without its config.json.

Each entry holds the fields of the model's own config.json, read by the same reader as any other. They were compared
field by field with the copies that ai-dynamo/aiconfigurator keeps of the files on the Hugging Face Hub:
https://github.com/ai-dynamo/aiconfigurator, commit 095f58a51c4ca8e61b66ec108d86f223f8d559ce, folder
aic-core/src/aiconfigurator_core/model_configs, file ``ORGANISATION--NAME_config.json`` of the first name of an entry.
Further names of an entry are the Hub's older name and tunings that change no dimension. The larger vocabulary of
Mixtral-8x22B-Instruct is in the config.json of every tuning of it, for example
https://huggingface.co/nithiyn/Mixtral-8x22B-Instruct-neuron/blob/main/config.json.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from trireme_operator.planning.model_config import ModelConfig, read_config
from trireme_operator.planning.source import SourceKind, source_of

_FP8_BLOCKS: Final = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}


def _llama(hidden: int, layers: int, heads: int, width: int) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "intermediate_size": width,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
    }


def _qwen3(hidden: int, layers: int, heads: int, width: int, *, tied: bool = False) -> dict[str, Any]:
    return {
        "model_type": "qwen3",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": width,
        "vocab_size": 151936,
        "max_position_embeddings": 40960,
        "tie_word_embeddings": tied,
    }


def _qwen3_moe(hidden: int, layers: int, heads: int, width: int, expert: int) -> dict[str, Any]:
    experts = {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": expert, "decoder_sparse_step": 1}
    return _qwen3(hidden, layers, heads, width) | {"model_type": "qwen3_moe", "num_key_value_heads": 4} | experts


def _mixtral(hidden: int, layers: int, heads: int, width: int, length: int) -> dict[str, Any]:
    return {
        "model_type": "mixtral",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "intermediate_size": width,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "vocab_size": 32000,
        "max_position_embeddings": length,
    }


_QWEN3_CODER_480B: Final = _qwen3_moe(6144, 62, 96, 8192, 2560) | {
    "num_key_value_heads": 8,
    "num_experts": 160,
    "max_position_embeddings": 262144,
}
_DEEPSEEK_V3: Final = {
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "intermediate_size": 18432,
    "vocab_size": 129280,
    "max_position_embeddings": 163840,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    **_FP8_BLOCKS,
}

ENTRIES: Final[dict[tuple[str, ...], dict[str, Any]]] = {
    (
        "meta-llama/Meta-Llama-3.1-8B",
        "meta-llama/Llama-3.1-8B",
        "meta-llama/Meta-Llama-3.1-8B-Instruct",
        "meta-llama/Llama-3.1-8B-Instruct",
    ): _llama(4096, 32, 32, 14336),
    (
        "meta-llama/Meta-Llama-3.1-70B",
        "meta-llama/Llama-3.1-70B",
        "meta-llama/Meta-Llama-3.1-70B-Instruct",
        "meta-llama/Llama-3.1-70B-Instruct",
    ): _llama(8192, 80, 64, 28672),
    (
        "meta-llama/Meta-Llama-3.1-405B",
        "meta-llama/Llama-3.1-405B",
        "meta-llama/Meta-Llama-3.1-405B-Instruct",
        "meta-llama/Llama-3.1-405B-Instruct",
    ): _llama(16384, 126, 128, 53248),
    ("Qwen/Qwen3-0.6B",): _qwen3(1024, 28, 16, 3072, tied=True),
    ("Qwen/Qwen3-1.7B",): _qwen3(2048, 28, 16, 6144, tied=True),
    ("Qwen/Qwen3-8B",): _qwen3(4096, 36, 32, 12288),
    ("Qwen/Qwen3-32B",): _qwen3(5120, 64, 64, 25600),
    ("Qwen/Qwen3-32B-FP8",): _qwen3(5120, 64, 64, 25600) | _FP8_BLOCKS,
    ("Qwen/Qwen3-30B-A3B",): _qwen3_moe(2048, 48, 32, 6144, 768),
    ("Qwen/Qwen3-30B-A3B-FP8",): _qwen3_moe(2048, 48, 32, 6144, 768) | _FP8_BLOCKS,
    ("Qwen/Qwen3-235B-A22B",): _qwen3_moe(4096, 94, 64, 12288, 1536),
    ("Qwen/Qwen3-235B-A22B-FP8",): _qwen3_moe(4096, 94, 64, 12288, 1536) | _FP8_BLOCKS,
    ("Qwen/Qwen3-Coder-480B-A35B-Instruct",): _QWEN3_CODER_480B,
    ("mistralai/Mixtral-8x7B-v0.1", "mistralai/Mixtral-8x7B-Instruct-v0.1"): _mixtral(4096, 32, 32, 14336, 32768),
    ("mistralai/Mixtral-8x22B-v0.1",): _mixtral(6144, 56, 48, 16384, 65536),
    ("mistralai/Mixtral-8x22B-Instruct-v0.1",): _mixtral(6144, 56, 48, 16384, 65536) | {"vocab_size": 32768},
    ("deepseek-ai/DeepSeek-V3",): _DEEPSEEK_V3,
    ("deepseek-ai/DeepSeek-R1",): _DEEPSEEK_V3,
}
"""config.json by the model's names on the Hub."""


def look_up(source: str) -> ModelConfig | None:
    """The dimensions of the model that a source ``hf://ORGANISATION/NAME[@REVISION]`` names; None when unknown.

    The Hub's names are the same in any case. A revision is taken to have the dimensions of the latest one.
    """
    found = source_of(source)
    return _by_name().get(found.name.casefold()) if found.kind is SourceKind.HUB else None


@functools.cache
def _by_name() -> dict[str, ModelConfig]:
    return {name.casefold(): read_config(config) for names, config in ENTRIES.items() for name in names}
