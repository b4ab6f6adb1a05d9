"""What one rank of a group keeps in the memory of its device, estimated: weights, KV cache, activations.

Weights are counted as vLLM lays them out. What a step needs beside them is profiled by vLLM at start and only
estimated here, so no resource is refused for it: only weights that are larger than the device are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trireme_operator.planning.engine_memory import GIB, EngineMemory
from trireme_operator.planning.model_config import Decoder, ModelConfig
from trireme_operator.planning.weights import Cut, Stage, kv_heads_per_rank, stage_bytes, stages

KV_BLOCK_TOKENS: Final = 16
"""The KV cache is handed out in blocks of so many tokens (DEFAULT_BLOCK_SIZE in vllm/config/cache.py)."""

RUNTIME_BYTES: Final = GIB
"""An allowance for what is neither weight, cache nor activation: the device's context, buffers of collective
operations, captured graphs. It differs between devices and drivers."""

_LOGIT_BYTES: Final = 8
"""The logits of a sequence are held twice, as 32-bit numbers, while a token is drawn."""


class Verdict(StrEnum):
    """Whether the model fits, of all its ranks the worst."""

    WEIGHTS_TOO_LARGE = "WeightsTooLarge"
    """The weights alone are larger than the device."""
    NO_ROOM_FOR_ONE_SEQUENCE = "NoRoomForOneSequence"
    """No sequence of the greatest length fits beside weights and activations: the engine would end at start."""
    ROOM_FOR_SOME_SEQUENCES = "RoomForSomeSequences"
    """The engine starts; of the sequences it may work on, not all fit at their greatest length, and some wait."""
    FITS = "Fits"
    """Every sequence that the engine may work on fits at its greatest length."""
    UNKNOWN = "Unknown"
    """The memory of a device is not known."""


@dataclass(frozen=True)
class StageMemory:
    """Each rank of one pipeline stage, in bytes; ``kv_token`` is what one token of a sequence takes in the cache."""

    stage: Stage
    weights: int
    kv_token: int
    activations: int


@dataclass(frozen=True)
class MemoryFit:
    """The memory of every rank of a group, in bytes; ``device`` is None when it is not known."""

    stages: tuple[StageMemory, ...]
    engine: EngineMemory
    device: int | None

    @property
    def budget(self) -> int | None:
        """What the engine may use of a device."""
        return None if self.device is None else self.device * self.engine.percent // 100

    def sequence_bytes(self, stage: StageMemory) -> int:
        """The cache of one sequence of the greatest length, on a rank of the stage, in whole blocks."""
        return -(-self.engine.length // KV_BLOCK_TOKENS) * KV_BLOCK_TOKENS * stage.kv_token

    def wanted_bytes(self, stage: StageMemory) -> int:
        """The cache of every sequence that the engine may work on, all of the greatest length."""
        return self.sequence_bytes(stage) * self.engine.sequences

    def room_bytes(self, stage: StageMemory) -> int | None:
        """What is left for the cache; negative when weights and activations are larger than the budget."""
        return None if self.budget is None else self.budget - stage.weights - stage.activations

    @property
    def full_sequences(self) -> int | None:
        """How many sequences of the greatest length fit, in the stage that has the least room for them."""
        if self.budget is None:
            return None
        return min(max(0, self.room_bytes(stage) or 0) // self.sequence_bytes(stage) for stage in self.stages)

    @property
    def verdict(self) -> Verdict:
        """The worst of all ranks."""
        if self.device is None or self.full_sequences is None:
            return Verdict.UNKNOWN
        if max(stage.weights for stage in self.stages) > self.device:
            return Verdict.WEIGHTS_TOO_LARGE
        if self.full_sequences == 0:
            return Verdict.NO_ROOM_FOR_ONE_SEQUENCE
        return Verdict.FITS if self.full_sequences >= self.engine.sequences else Verdict.ROOM_FOR_SOME_SEQUENCES


def memory_fit(
    config: ModelConfig, decoder: Decoder, cut: Cut, engine: EngineMemory, *, device: int | None
) -> MemoryFit:
    """The memory of a group's ranks. ``cut`` must be one that the model can be cut by."""
    found = tuple(
        StageMemory(
            stage,
            weights=stage_bytes(
                config, decoder, stage, cut, quantization=engine.quantization, value_bytes=engine.value_bytes
            ),
            kv_token=_kv_token(decoder, cut) * engine.kv_bytes * len(stage.layers),
            activations=_activations(config, decoder, stage, cut, engine),
        )
        for stage in stages(config.layers, cut.pipeline)
    )
    return MemoryFit(found, engine, device)


def _kv_token(decoder: Decoder, cut: Cut) -> int:
    """Numbers that one layer keeps of one token. The latent vector of multi-head latent attention is on every rank."""
    if decoder.latent is not None:
        return decoder.latent.kv_rank + decoder.latent.rope
    return 2 * kv_heads_per_rank(decoder.kv_heads, cut.tensor) * decoder.head


def _activations(config: ModelConfig, decoder: Decoder, stage: Stage, cut: Cut, engine: EngineMemory) -> int:
    """An estimate of what a step needs at its widest: the state of every token four times (two residuals, input and
    output of a layer), with the widest layer's inside, and in the last stage the logits of every sequence.
    """
    widest = max(_attention_width(config, decoder, cut), _feed_forward_width(decoder, cut))
    step = engine.batched_tokens * (4 * decoder.hidden + widest) * engine.value_bytes
    logits = engine.sequences * decoder.vocabulary * _LOGIT_BYTES if stage.last else 0
    return RUNTIME_BYTES + step + logits


def _attention_width(config: ModelConfig, decoder: Decoder, cut: Cut) -> int:
    heads = config.attention_heads // cut.tensor
    if decoder.latent is not None:
        return heads * (decoder.latent.nope + decoder.latent.rope + decoder.latent.kv_rank)
    return (2 * heads + 2 * kv_heads_per_rank(decoder.kv_heads, cut.tensor)) * decoder.head


def _feed_forward_width(decoder: Decoder, cut: Cut) -> int:
    """Gate and projection up of a token; of a mixture, those of all its experts and their outputs."""
    dense = 2 * decoder.width // cut.tensor
    experts = decoder.experts
    if experts is None:
        return dense
    part = experts.width if cut.whole_experts else experts.width // cut.expert
    return max(dense, experts.per_token * (2 * part + decoder.hidden))
