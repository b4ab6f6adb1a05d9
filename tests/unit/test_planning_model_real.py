"""Estimates beside what the real vLLM holds after loading: weights of each rank, and tokens of its KV cache.

``TRIREME_ENGINE_PYTHON`` names a Python that has vLLM, for example the one of the engine image, and
``TRIREME_ENGINE_MODEL`` the folder of SmolLM2-135M there, by default where the image has it.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.double import flags
from tests.unit.models import SMOLLM2
from tests.unit.resources import cluster
from trireme_operator.planning.engine_memory import engine_memory
from trireme_operator.planning.memory import memory_fit
from trireme_operator.planning.model_config import read_config
from trireme_operator.planning.weights import Cut

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

KV_BYTES = 64 * 1024**2
MIXTURE = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "hidden_size": 128,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "vocab_size": 300,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "dtype": "bfloat16",
}
"""One head of keys and values, a vocabulary that is padded, experts."""


CASES = [(SMOLLM2, 1, 2), (SMOLLM2, 3, 1), (MIXTURE, 2, 1)]
"""Dimensions, ranks that share a layer, stages."""


def measured() -> list[list[dict[str, int]]]:
    """What each rank of the real engine holds, case by case."""
    python = os.environ.get("TRIREME_ENGINE_PYTHON")
    assert python, "set TRIREME_ENGINE_PYTHON to the Python of an environment with vLLM"
    smollm2 = os.environ.get("TRIREME_ENGINE_MODEL", "/models/SmolLM2-135M-Instruct")
    asked = [
        {"tensor": tensor, "pipeline": pipeline, "kvBytes": KV_BYTES}
        | ({"model": smollm2} if raw is SMOLLM2 else {"config": json.dumps(raw)})
        for raw, tensor, pipeline in CASES
    ]
    script = Path(flags.__file__).with_name("measure_model.py")
    text = subprocess.run(
        [python, str(script), json.dumps(asked)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return [json.loads(line.removeprefix("held:")) for line in text.splitlines() if line.startswith("held:")]


def test_weights_and_cache_are_what_vllm_holds() -> None:
    ranks = measured()
    assert [len(each) for each in ranks] == [tensor * pipeline for _, tensor, pipeline in CASES]
    for (raw, tensor, pipeline), found in zip(CASES, ranks, strict=True):
        config = read_config(raw)
        assert config.decoder is not None
        engine = replace(engine_memory(cluster(), config.decoder, device=None), length=512)
        fit = memory_fit(config, config.decoder, Cut(tensor, pipeline, tensor), engine, device=None)
        for number, rank in enumerate(found):
            stage = fit.stages[number // tensor]
            assert rank["weights"] == pytest.approx(stage.weights, rel=0.01)
            assert rank["bytes"] / rank["tokens"] == pytest.approx(stage.kv_token, rel=0.01)
