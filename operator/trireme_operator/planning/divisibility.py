"""Which ways of cutting a model vLLM takes: what must divide what, with the arithmetic and the values that would work.

Sources, all of vLLM 0.32.0: verify_with_parallel_config in vllm/config/model.py (attention heads), QKVParallelLinear in
vllm/model_executor/layers/linear.py (heads of keys and values), vocab_parallel_embedding.py beside it (vocabulary),
fused_moe/config.py (experts), validate_fp8_block_shape in quantization/utils/fp8_utils.py (blocks). Blocks that lie
across a cut are refused where the input of a layer is cut; where outputs or experts are, vLLM takes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from trireme_operator.api import Violation
from trireme_operator.planning.model_config import Decoder, ModelConfig
from trireme_operator.planning.weights import Cut, padded_vocabulary

TENSOR: Final = "spec.parallelism.tensor"
PIPELINE: Final = "spec.parallelism.pipeline"
_LARGEST_TENSOR: Final = 128


def violations(config: ModelConfig, cut: Cut) -> list[Violation]:
    """Every reason why vLLM would refuse to cut the model this way; empty when it would not."""
    found = []
    whole = cut.whole_experts
    refused = list(_tensor(config, cut.tensor, cut.expert // cut.tensor, whole=whole))
    if refused:
        values = ", ".join(str(value) for value in tensor_values(config, cut))
        found.append(
            Violation(TENSOR, f"{cut.tensor} can not cut this model: {'; '.join(refused)}. What works: {values}")
        )
    if cut.pipeline > config.layers:
        text = f"{cut.pipeline} stages are more than the model's {config.layers} layers: choose at most {config.layers}"
        found.append(Violation(PIPELINE, text))
    return found


def tensor_values(config: ModelConfig, cut: Cut) -> tuple[int, ...]:
    """The values of ``parallelism.tensor`` that the model can be cut by when nothing else of ``cut`` changes,
    smallest first.
    """
    replicas, whole = cut.expert // cut.tensor, cut.whole_experts
    values = range(1, _LARGEST_TENSOR + 1)
    return tuple(value for value in values if not any(_tensor(config, value, replicas, whole=whole)))


def _tensor(config: ModelConfig, tensor: int, replicas: int, *, whole: bool) -> Iterator[str]:
    """``replicas``: ranks of data parallelism, over which experts are cut too unless they stay ``whole``."""
    yield from _indivisible(config.attention_heads, tensor, "attention heads")
    decoder = config.decoder
    if decoder is None:
        return
    if decoder.latent is None:
        yield from _kv_heads(decoder.kv_heads, tensor)
    yield from _indivisible(padded_vocabulary(decoder.vocabulary), tensor, "rows of the padded vocabulary")
    for width, what in _widths(config, decoder):
        yield from _width(decoder, width, tensor, what)
    if decoder.experts is not None and not whole:
        ranks, width = tensor * replicas, decoder.experts.width
        if width % ranks:
            yield f"width of an expert {width} / {ranks} leaves {width % ranks}"


def _kv_heads(kv_heads: int, tensor: int) -> Iterator[str]:
    """Fewer heads than ranks are held several times, each by as many ranks."""
    if tensor < kv_heads:
        yield from _indivisible(kv_heads, tensor, "heads of keys and values")
    elif tensor % kv_heads:
        yield f"{tensor} ranks / {kv_heads} heads of keys and values leaves {tensor % kv_heads}"


def _widths(config: ModelConfig, decoder: Decoder) -> Iterator[tuple[int, str]]:
    """Inputs of layers that are cut by their input."""
    head = decoder.head if decoder.latent is None else decoder.latent.value
    yield config.attention_heads * head, "width of attention"
    experts = decoder.experts
    if experts is None or experts.dense:
        yield decoder.width, "feed-forward width"
    if experts is not None and experts.shared:
        yield experts.shared, "width of the shared experts"


def _width(decoder: Decoder, width: int, ranks: int, what: str) -> Iterator[str]:
    """A rank's part of an input that has one scale a block must be whole blocks."""
    quantization = decoder.quantization
    if width % ranks:
        yield f"{what} {width} / {ranks} leaves {width % ranks}"
    elif ranks > 1 and quantization is not None and quantization.block is not None:
        part, side = width // ranks, quantization.block[1]
        if part % side:
            yield f"{what} {width} / {ranks} = {part}, no whole number of blocks of {side} ({quantization.method})"


def _indivisible(amount: int, tensor: int, what: str) -> Iterator[str]:
    if amount % tensor:
        yield f"{amount} {what} / {tensor} leaves {amount % tensor}"
