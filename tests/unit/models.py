"""Models for tests: dimensions, and what is asked of them again and again."""

from __future__ import annotations

from typing import Any

from trireme_operator.api import InferenceCluster
from trireme_operator.planning import ModelConfig, ModelFit, geometry, look_up, model_fit
from trireme_operator.planning.catalogue import ENTRIES
from trireme_operator.planning.model_config import Decoder
from trireme_operator.planning.weights import Cut, stage_bytes, stages

SMOLLM2 = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
GIB = 1024**3


def config_of(model_type: str) -> dict[str, Any]:
    """The first entry of the catalogue that is of the type."""
    return next(entry for entry in ENTRIES.values() if entry["model_type"] == model_type)


def config(name: str) -> ModelConfig:
    found = look_up(f"hf://{name}")
    assert found is not None, name
    return found


def decoder(found: ModelConfig) -> Decoder:
    assert found.decoder is not None, found.note
    return found.decoder


def weights(found: ModelConfig, tensor: int = 1, pipeline: int = 1, *, quantized: bool = True) -> list[int]:
    """Bytes of a rank of each stage."""
    known = decoder(found)
    quantization = known.quantization if quantized else None
    return [
        stage_bytes(found, known, stage, Cut(tensor, pipeline, tensor), quantization=quantization, value_bytes=2)
        for stage in stages(found.layers, pipeline)
    ]


def fit(document: InferenceCluster, found: ModelConfig | None) -> ModelFit:
    return model_fit(document, geometry(document), found)
