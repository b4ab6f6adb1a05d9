"""What is read of a model's config.json, the file beside the weights that Hugging Face's transformers and vLLM read.

Names of its fields differ between types of models; here they have one name each. Only types whose layers are known
here are counted weight by weight (``DECODERS``); of any other, just its layers and attention heads are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from trireme_operator.planning.quantization import Quantization, UnknownQuantizationError, read_quantization

DECODERS: Final = frozenset({"deepseek_v3", "llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe"})
"""Values of ``model_type`` whose weights are counted; their layers stand in vllm/model_executor/models of vLLM."""

_LARGEST: Final = 10**9
_MOST_LAYERS: Final = 1000
_SHOWN_CHARACTERS: Final = 80


class UnreadableConfigError(ValueError):
    """A text is no config.json that anything can be read from; the message names the field."""


@dataclass(frozen=True)
class Experts:
    """Layers that are a mixture of experts. Widths are those of the hidden layer inside one feed-forward network.

    ``shared`` is the width of all shared experts together, 0 without; ``dense`` names the layers that are none.
    """

    count: int
    per_token: int
    width: int
    shared: int
    dense: frozenset[int]


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention: keys and values of all heads are kept as one vector of ``kv_rank`` numbers and a
    rotary part of ``rope`` numbers. ``query_rank`` None: queries are projected directly.
    """

    kv_rank: int
    query_rank: int | None
    nope: int
    rope: int
    value: int


@dataclass(frozen=True)
class Decoder:
    """Dimensions of a decoder-only transformer, in numbers (not bytes) and tokens."""

    hidden: int
    vocabulary: int
    kv_heads: int
    head: int
    width: int
    tied: bool
    qkv_bias: bool
    output_bias: bool
    width_bias: bool
    head_norms: bool
    length: int
    latent: Latent | None
    experts: Experts | None
    quantization: Quantization | None


@dataclass(frozen=True)
class ModelConfig:
    """A model's dimensions; ``decoder`` is None when they can't all be told, and ``note`` then says why."""

    model_type: str
    layers: int
    attention_heads: int
    decoder: Decoder | None
    note: str = ""


def read_text(text: str) -> ModelConfig:
    """Read the text of a config.json.

    Raises:
        UnreadableConfigError: it is no JSON object, or a needed field is absent or senseless.

    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableConfigError(f"no JSON: {error}") from None
    if not isinstance(raw, dict):
        raise UnreadableConfigError("no JSON object: write the model's config.json")
    return read_config(raw)


def read_config(raw: Mapping[str, Any]) -> ModelConfig:
    """Read a config.json; of a model with more than text, its ``text_config``.

    Raises:
        UnreadableConfigError: a needed field is absent or senseless.

    """
    nested = raw.get("text_config")
    fields = _Fields({**raw, **nested} if isinstance(nested, Mapping) else raw)
    model_type = str(raw.get("model_type") or "unknown")[:_SHOWN_CHARACTERS]
    layers = fields.whole("num_hidden_layers", most=_MOST_LAYERS)
    heads = fields.whole("num_attention_heads")
    if model_type not in DECODERS:
        known = ", ".join(sorted(DECODERS))
        return ModelConfig(
            model_type, layers, heads, None, f"weights of type {model_type} are not counted, only {known}"
        )
    try:
        return ModelConfig(model_type, layers, heads, _decoder(fields, model_type, layers, heads))
    except UnknownQuantizationError as error:
        return ModelConfig(model_type, layers, heads, None, f"the size of weights in {error} is not known")


def _decoder(fields: _Fields, model_type: str, layers: int, heads: int) -> Decoder:
    hidden = fields.whole("hidden_size")
    latent = _latent(fields) if model_type == "deepseek_v3" else None
    bias = fields.flag("attention_bias")
    quantization = fields.raw.get("quantization_config")
    return Decoder(
        hidden=hidden,
        vocabulary=fields.whole("vocab_size"),
        kv_heads=fields.whole("num_key_value_heads", default=heads),
        head=fields.whole("head_dim", default=max(1, hidden // heads)),
        width=fields.whole("intermediate_size"),
        tied=fields.flag("tie_word_embeddings"),
        qkv_bias=bias or model_type == "qwen2",
        output_bias=bias and model_type != "qwen2",
        width_bias=fields.flag("mlp_bias"),
        head_norms=model_type in {"qwen3", "qwen3_moe"},
        length=fields.whole("max_position_embeddings"),
        latent=latent,
        experts=_experts(fields, model_type, layers),
        quantization=read_quantization(quantization) if isinstance(quantization, Mapping) else None,
    )


def _latent(fields: _Fields) -> Latent:
    query = fields.raw.get("q_lora_rank")
    return Latent(
        kv_rank=fields.whole("kv_lora_rank"),
        query_rank=None if query is None else fields.whole("q_lora_rank"),
        nope=fields.whole("qk_nope_head_dim"),
        rope=fields.whole("qk_rope_head_dim"),
        value=fields.whole("v_head_dim"),
    )


def _experts(fields: _Fields, model_type: str, layers: int) -> Experts | None:
    """Which layers have experts is decided as in mixtral.py, qwen3_moe.py and deepseek_v2.py of vLLM 0.32.0."""
    every = range(layers)
    match model_type:
        case "mixtral":
            count, width, dense, shared = "num_local_experts", "intermediate_size", frozenset[int](), 0
        case "qwen3_moe":
            only = fields.wholes("mlp_only_layers")
            step = fields.whole("decoder_sparse_step", default=1)
            dense = frozenset(layer for layer in every if layer in only or (layer + 1) % step)
            count, width, shared = "num_experts", "moe_intermediate_size", 0
        case "deepseek_v3":
            first = fields.whole("first_k_dense_replace", default=0, least=0)
            step = fields.whole("moe_layer_freq", default=1)
            dense = frozenset(layer for layer in every if layer < first or layer % step)
            count, width = "n_routed_experts", "moe_intermediate_size"
            shared = fields.whole("n_shared_experts", default=0, least=0)
        case _:
            return None
    each = fields.whole(width)
    return Experts(fields.whole(count), fields.whole("num_experts_per_tok"), each, shared * each, dense)


@dataclass(frozen=True)
class _Fields:
    """Typed access to a config.json that anyone may have written: numbers are bounded, so that sums stay small."""

    raw: Mapping[str, Any]

    def whole(self, name: str, *, default: int | None = None, least: int = 1, most: int = _LARGEST) -> int:
        value = self.raw.get(name)
        if value is None and default is not None:
            return default
        if value is None:
            raise UnreadableConfigError(f"{name} is absent: is this the config.json that lies beside the weights?")
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            shown = str(value)[:_SHOWN_CHARACTERS]
            raise UnreadableConfigError(f"{name} is {shown}: it must be a whole number from {least} to {most}")
        return value

    def wholes(self, name: str) -> frozenset[int]:
        value = self.raw.get(name) or []
        if isinstance(value, list) and all(isinstance(each, int) for each in value):
            return frozenset(value)
        raise UnreadableConfigError(f"{name} is {str(value)[:_SHOWN_CHARACTERS]}: it must be a list of whole numbers")

    def flag(self, name: str) -> bool:
        return self.raw.get(name) is True
