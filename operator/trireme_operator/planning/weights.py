"""How vLLM cuts a model's weights over the ranks of a group, and how many bytes each rank gets.

Every tensor-parallel rank of a pipeline stage holds the same number of bytes, so a stage stands for its ranks.

Sources, all of vLLM 0.32.0: get_pp_indices in vllm/distributed/utils.py (layers of a stage), linear.py and
vocab_parallel_embedding.py in vllm/model_executor/layers (what is cut, replicated and padded), llama.py, mixtral.py,
qwen3.py, qwen3_moe.py and deepseek_v2.py in vllm/model_executor/models (which layers there are).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trireme_operator.planning.model_config import Decoder, Experts, Latent, ModelConfig
from trireme_operator.planning.quantization import Quantization

VOCABULARY_PADDING: Final = 64
"""The vocabulary is padded to a multiple of it: DEFAULT_VOCAB_PADDING_SIZE."""


@dataclass(frozen=True)
class Cut:
    """How one copy of the model is cut: ranks that share a layer, stages, and ranks that share a layer's experts.

    ``whole_experts``: each of the latter holds some experts whole (expert parallelism), not a part of every one.
    """

    tensor: int
    pipeline: int
    expert: int
    whole_experts: bool = False


@dataclass(frozen=True)
class Stage:
    """One pipeline stage: its place, its layers, and whether it holds the input or the output embedding."""

    number: int
    layers: range
    first: bool
    last: bool


def stages(layers: int, pipeline: int) -> tuple[Stage, ...]:
    """The stages of a model: layers that are left over go to the stages before the last one, from the back."""
    counts = [layers // pipeline] * pipeline
    for index in range(2, layers % pipeline + 2):
        counts[-index] += 1
    starts = [sum(counts[:number]) for number in range(pipeline)]
    return tuple(
        Stage(number, range(start, start + count), first=number == 0, last=number == pipeline - 1)
        for number, (start, count) in enumerate(zip(starts, counts, strict=True))
    )


def padded_vocabulary(vocabulary: int) -> int:
    """The rows of an embedding, before it is cut."""
    return -(-vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING


def kv_heads_per_rank(kv_heads: int, tensor: int) -> int:
    """Heads of keys and values on a rank; where there are more ranks than heads, each head is held several times."""
    return max(1, kv_heads // tensor)


@dataclass(frozen=True)
class _Count:
    """Numbers of weights: in linear layers, which a quantization applies to, and in all others."""

    linear: int = 0
    plain: int = 0

    def __add__(self, other: _Count) -> _Count:
        return _Count(self.linear + other.linear, self.plain + other.plain)

    def times(self, number: int) -> _Count:
        return _Count(self.linear * number, self.plain * number)

    def size(self, quantization: Quantization | None, value_bytes: int) -> int:
        linear = quantization.size(self.linear) if quantization is not None else self.linear * value_bytes
        return linear + self.plain * value_bytes


def stage_bytes(
    config: ModelConfig,
    decoder: Decoder,
    stage: Stage,
    cut: Cut,
    *,
    quantization: Quantization | None,
    value_bytes: int,
) -> int:
    """Bytes of weights on each rank of the stage.

    ``value_bytes`` is the size of a weight that is not quantized. ``cut.tensor`` must divide what it cuts.
    """
    experts = decoder.experts
    mixtures = 0 if experts is None else sum(layer not in experts.dense for layer in stage.layers)
    others = len(stage.layers) - mixtures
    layers = _layer(config, decoder, cut, None).times(others) + _layer(config, decoder, cut, experts).times(mixtures)
    return (_embeddings(decoder, stage, cut) + layers).size(quantization, value_bytes)


def _embeddings(decoder: Decoder, stage: Stage, cut: Cut) -> _Count:
    rows = padded_vocabulary(decoder.vocabulary) // cut.tensor
    held = stage.first or (decoder.tied and stage.last)
    tables = int(held) + int(stage.last and not decoder.tied)
    return _Count(plain=tables * rows * decoder.hidden + (decoder.hidden if stage.last else 0))


def _layer(config: ModelConfig, decoder: Decoder, cut: Cut, experts: Experts | None) -> _Count:
    """One layer: a mixture of these experts, or a dense one."""
    norms = _Count(plain=2 * decoder.hidden)
    heads = config.attention_heads // cut.tensor
    latent = decoder.latent
    attention = _attention(decoder, heads, cut) if latent is None else _latent_attention(decoder, latent, heads)
    return norms + attention + _feed_forward(decoder, cut, experts)


def _attention(decoder: Decoder, heads: int, cut: Cut) -> _Count:
    queries = heads * decoder.head
    projected = queries + 2 * kv_heads_per_rank(decoder.kv_heads, cut.tensor) * decoder.head
    biases = (projected if decoder.qkv_bias else 0) + (decoder.hidden if decoder.output_bias else 0)
    norms = 2 * decoder.head if decoder.head_norms else 0
    return _Count(linear=(projected + queries) * decoder.hidden, plain=biases + norms)


def _latent_attention(decoder: Decoder, latent: Latent, heads: int) -> _Count:
    """The projections down are replicated. The one up for keys and values is kept twice: as loaded, and unquantized
    for the absorbed form of attention (W_UK_T and W_UV in vllm/model_executor/layers/attention/mla_attention.py).
    """
    query = heads * (latent.nope + latent.rope)
    rank = latent.query_rank
    down_up = decoder.hidden * query if rank is None else (decoder.hidden + query) * rank
    keys_values = heads * (latent.nope + latent.value) * latent.kv_rank
    down = decoder.hidden * (latent.kv_rank + latent.rope)
    output = heads * latent.value * decoder.hidden
    return _Count(linear=down_up + down + keys_values + output, plain=keys_values + latent.kv_rank + (rank or 0))


def _feed_forward(decoder: Decoder, cut: Cut, experts: Experts | None) -> _Count:
    if experts is None:
        width = decoder.width // cut.tensor
        biases = 2 * width + decoder.hidden if decoder.width_bias else 0
        return _Count(linear=3 * width * decoder.hidden, plain=biases)
    shared = 3 * experts.shared // cut.tensor * decoder.hidden
    routed = 3 * experts.count * experts.width // cut.expert * decoder.hidden
    return _Count(linear=shared + routed, plain=experts.count * decoder.hidden)
