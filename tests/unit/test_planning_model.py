"""What is known of a model before it is loaded: its dimensions, and how it can be cut."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.models import SMOLLM2, config, config_of, decoder, fit, weights
from tests.unit.resources import cluster
from trireme_operator.api import InvalidResource
from trireme_operator.planning import (
    ModelConfig,
    UnreadableConfigError,
    look_up,
    read_text,
)
from trireme_operator.planning.catalogue import ENTRIES
from trireme_operator.planning.divisibility import PIPELINE, TENSOR, tensor_values, violations
from trireme_operator.planning.engine_memory import engine_memory
from trireme_operator.planning.memory import memory_fit
from trireme_operator.planning.model_config import read_config
from trireme_operator.planning.quantization import UnknownQuantizationError, read_quantization
from trireme_operator.planning.weights import Cut, stages

# ---- dimensions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
        ("meta-llama/Llama-3.1-70B", 70_553_706_496),
        ("meta-llama/Llama-3.1-405B", 405_853_388_800),
        ("Qwen/Qwen3-8B", 8_190_735_360),
        ("Qwen/Qwen3-30B-A3B", 30_532_122_624),
        ("Qwen/Qwen3-235B-A22B", 235_093_634_560),
        ("mistralai/Mixtral-8x7B-v0.1", 46_702_792_704),
        ("mistralai/Mixtral-8x22B-v0.1", 140_620_634_112),
    ],
)
def test_as_many_weights_are_counted_as_the_hub_says(name: str, parameters: int) -> None:
    """The Hub's own count of the safetensors files, which its API gives as ``safetensors.total``."""
    assert weights(config(name)) == [2 * parameters]


def test_weights_of_latent_attention_are_the_hubs_and_the_copies_for_its_absorbed_form() -> None:
    """The Hub's count of the main model has 256 biases of the router in each of 58 layers more."""
    copies = 61 * 128 * (128 + 128) * 512
    assert weights(config("deepseek-ai/DeepSeek-V3"), quantized=False) == [2 * (671_026_419_200 - 58 * 256 + copies)]


def test_every_entry_of_the_catalogue_can_be_read_and_cut_by_8() -> None:
    for names, entry in ENTRIES.items():
        found = read_config(entry)
        assert found.decoder is not None, names
        assert 8 in tensor_values(found, Cut(1, 1, 1)), names


def test_a_model_is_looked_up_by_its_name_in_any_case_without_its_revision() -> None:
    assert look_up("hf://qwen/qwen3-8b@main") == look_up("hf://Qwen/Qwen3-8B")
    assert look_up("/models/Qwen/Qwen3-8B") is None
    assert look_up("hf://nobody/nothing") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no JSON object"),
        ("{}", "num_hidden_layers is absent"),
        (json.dumps(SMOLLM2 | {"hidden_size": "576"}), "hidden_size is 576: it must be a whole number"),
        (json.dumps(SMOLLM2 | {"num_hidden_layers": 10**6}), "num_hidden_layers is 1000000"),
        (json.dumps(SMOLLM2 | {"num_attention_heads": 0}), "num_attention_heads is 0"),
        (json.dumps(config_of("qwen3_moe") | {"mlp_only_layers": ["1"]}), "must be a list of whole numbers"),
        (json.dumps(SMOLLM2 | {"vocab_size": True}), "vocab_size is True"),
        (json.dumps(SMOLLM2 | {"vocab_size": 10**12}), "vocab_size is 1000000000000"),
    ],
)
def test_what_is_no_config_is_refused_by_its_field(text: str, message: str) -> None:
    with pytest.raises(UnreadableConfigError, match=message.replace("[", r"\[")):
        read_text(text)


@settings(max_examples=500)
@given(
    st.dictionaries(
        st.sampled_from([*SMOLLM2, "quantization_config", "text_config", "num_local_experts", "mlp_only_layers"]),
        st.sampled_from(
            [None, True, -1, 0, 1, 2, 7, 64, 10**9, 10**30, 1.5, "8", "", [], [1], [0, 0], {}, {"a": None}]
        ),
    ),
    st.sampled_from(["llama", "mixtral", "qwen3_moe", "deepseek_v3", "bert"]),
)
def test_any_object_is_read_or_refused(fields: dict[str, Any], model_type: str) -> None:
    try:
        found = read_config({**SMOLLM2, "num_local_experts": 4, **fields, "model_type": model_type})
    except UnreadableConfigError:
        return
    document = cluster(parallelism={"tensor": 2}, accelerator={"memory": "80Gi"})
    with contextlib.suppress(InvalidResource):
        fit(document, found)


def test_the_text_part_of_a_model_with_more_than_text_counts() -> None:
    nested = {"num_hidden_layers": 12, "num_attention_heads": 6}
    found = read_config({"model_type": "some_vision_model", "text_config": nested, "num_hidden_layers": 99})
    assert (found.layers, found.attention_heads, found.decoder) == (12, 6, None)
    assert "some_vision_model" in found.note


@pytest.mark.parametrize(
    ("quantization", "size"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 128 * 128 + 4),
        ({"quant_method": "fp8"}, 128 * 128),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 128 * 64 + 320),
        ({"quant_method": "gptq", "bits": 8, "group_size": 128}, 128 * 128 + 384),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, 128 * 64),
        ({"quant_method": "mxfp4"}, 128 * 64 + 512),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, 128 * 64 + 1024),
        ({"quant_method": "modelopt", "quantization": {"quant_algo": "FP8"}}, 128 * 128),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 128 * 64 + 1024),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8}}}},
            128 * 128,
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_bytes_of_a_block_of_128_x_128_weights(quantization: dict[str, Any], size: int) -> None:
    assert read_quantization(quantization).size(128 * 128) == size


@pytest.mark.parametrize("method", [{}, {"quant_method": "exl3"}, {"quant_method": "gptq", "bits": "four"}], ids=str)
def test_an_unknown_quantization_makes_the_weights_unknown_not_the_heads(method: dict[str, Any]) -> None:
    with pytest.raises(UnknownQuantizationError):
        read_quantization(method)
    found = read_config(SMOLLM2 | {"quantization_config": method})
    assert found.decoder is None
    assert "quantization" in found.note
    assert violations(found, Cut(2, 1, 2))[0].message.startswith("2 can not cut this model: 9 attention heads / 2")


# ---- how it is cut ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "pipeline", "counts"),
    [(30, 1, [30]), (30, 4, [7, 8, 8, 7]), (61, 2, [31, 30]), (61, 4, [15, 15, 16, 15]), (5, 4, [1, 1, 2, 1])],
)
def test_layers_that_are_left_over_go_to_the_stages_before_the_last(
    layers: int, pipeline: int, counts: list[int]
) -> None:
    found = stages(layers, pipeline)
    assert [len(stage.layers) for stage in found] == counts
    assert [layer for stage in found for layer in stage.layers] == list(range(layers))


def test_a_tied_embedding_is_on_the_first_and_on_the_last_stage() -> None:
    found = read_config(SMOLLM2)
    embedding, norm = 49152 * 576 * 2, 576 * 2
    whole, (first, last) = weights(found)[0], weights(found, pipeline=2)
    assert first + last == whole + embedding
    assert last - first == norm


def test_heads_of_keys_and_values_are_held_several_times_where_ranks_are_more() -> None:
    found = config("Qwen/Qwen3-30B-A3B")
    known = decoder(found)
    engine = engine_memory(cluster(), known, device=None)
    by_tensor = {
        tensor: memory_fit(found, known, Cut(tensor, 1, tensor), engine, device=None).stages[0].kv_token
        for tensor in (1, 2, 4, 8)
    }
    one_head = 2 * 128 * 2 * 48
    assert by_tensor == {1: 4 * one_head, 2: 2 * one_head, 4: one_head, 8: one_head}


@pytest.mark.parametrize(
    ("name", "tensor", "pipeline", "path", "words"),
    [
        (
            "meta-llama/Llama-3.1-8B",
            3,
            1,
            TENSOR,
            [
                "32 attention heads / 3 leaves 2",
                "8 heads of keys and values / 3 leaves 2",
                "What works: 1, 2, 4, 8, 16, 32",
            ],
        ),
        ("Qwen/Qwen3-32B-FP8", 16, 1, TENSOR, ["width 25600 / 16 = 1600, no whole number of blocks of 128 (fp8)"]),
        (
            "mistralai/Mixtral-8x22B-v0.1",
            12,
            1,
            TENSOR,
            ["12 ranks / 8 heads of keys and values leaves 4"],
        ),
        (
            "Qwen/Qwen3-Coder-480B-A35B-Instruct",
            6,
            1,
            TENSOR,
            ["151936 rows of the padded vocabulary / 6"],
        ),
        ("Qwen/Qwen3-0.6B", 1, 29, PIPELINE, ["29 stages", "28 layers: choose at most 28"]),
    ],
)
def test_a_cut_that_vllm_would_refuse_is_refused_with_the_arithmetic(
    name: str, tensor: int, pipeline: int, path: str, words: list[str]
) -> None:
    document = cluster(parallelism={"tensor": tensor, "pipeline": pipeline}, accelerator={"perPod": 1})
    with pytest.raises(InvalidResource) as refused:
        fit(document, config(name))
    (violation,) = refused.value.violations
    assert violation.path == path
    for word in words:
        assert word in violation.message


def test_whole_experts_need_not_be_divisible() -> None:
    found = config("Qwen/Qwen3-30B-A3B")
    assert not violations(found, Cut(tensor=4, pipeline=1, expert=4 * 5, whole_experts=True))
    (violation,) = violations(found, Cut(tensor=4, pipeline=1, expert=4 * 5))
    assert "width of an expert 768 / 20 leaves 8" in violation.message


def test_experts_are_shared_by_the_ranks_of_all_replicas() -> None:
    found = config("Qwen/Qwen3-30B-A3B")
    experts = 3 * 768 * 2048 * 128 * 48 * 2
    alone, replicas = (fit(cluster(parallelism={"tensor": 2, "data": data}), found) for data in (1, 2))
    assert alone.memory is not None
    assert replicas.memory is not None
    assert alone.memory.stages[0].weights - replicas.memory.stages[0].weights == experts // 2 - experts // 4

    odd = {"tensor": 4, "data": 5}
    with pytest.raises(InvalidResource, match="width of an expert 768 / 20 leaves 8"):
        fit(cluster(parallelism=odd), found)
    assert fit(cluster(parallelism=odd | {"expert": True}), found).memory is not None


def test_blocks_of_experts_may_lie_across_a_cut() -> None:
    """vLLM refines their scales or pads them: vllm/model_executor/layers/fused_moe/oracle/fp8.py."""
    assert not violations(config("Qwen/Qwen3-235B-A22B-FP8"), Cut(8, 1, 8))


@given(st.sampled_from([read_config(entry) for entry in ENTRIES.values()]), st.sampled_from([1, 2, 3, 4]))
def test_the_values_that_are_named_work_and_hold_all_weights_together(found: ModelConfig, pipeline: int) -> None:
    whole = sum(weights(found, pipeline=pipeline))
    for tensor in tensor_values(found, Cut(1, pipeline, 1)):
        assert not violations(found, Cut(tensor, pipeline, tensor))
        together = tensor * sum(weights(found, tensor, pipeline))
        assert together >= whole * 99 // 100, "nothing is lost, only replicated (a scale of a cut block may be)"
