"""What is known of a model before it is loaded: its dimensions, how it can be cut, and what its ranks keep."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.resources import cluster
from trireme_operator.api import InferenceCluster, InvalidResource
from trireme_operator.planning import (
    ModelConfig,
    ModelFit,
    UnreadableConfigError,
    Verdict,
    geometry,
    gib,
    look_up,
    model_fit,
    read_text,
    revision_name,
    template_inputs,
)
from trireme_operator.planning.catalogue import ENTRIES
from trireme_operator.planning.divisibility import PIPELINE, TENSOR, tensor_values, violations
from trireme_operator.planning.engine_memory import argument, engine_memory
from trireme_operator.planning.memory import KV_BLOCK_TOKENS, memory_fit
from trireme_operator.planning.model_config import Decoder, read_config
from trireme_operator.planning.quantization import UnknownQuantizationError, read_quantization
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


# ---- whether it fits -------------------------------------------------------------------------------------


def llama_70b(tensor: int, memory: str | None, **engine: Any) -> InferenceCluster:
    accelerator = {} if memory is None else {"memory": memory}
    return cluster(parallelism={"tensor": tensor}, accelerator=accelerator, engine={"config": engine})


@pytest.mark.parametrize(
    ("tensor", "memory", "engine", "verdict"),
    [
        (8, "80Gi", {"maxModelLen": 8192, "maxNumSeqs": 64}, Verdict.FITS),
        (4, "80Gi", {"maxModelLen": 8192, "maxNumSeqs": 256}, Verdict.ROOM_FOR_SOME_SEQUENCES),
        (2, "80Gi", {"maxModelLen": 131072}, Verdict.NO_ROOM_FOR_ONE_SEQUENCE),
        (2, None, {}, Verdict.UNKNOWN),
    ],
)
def test_verdicts(tensor: int, memory: str | None, engine: dict[str, int], verdict: Verdict) -> None:
    found = fit(llama_70b(tensor, memory, **engine), config("meta-llama/Llama-3.1-70B"))
    assert found.memory is not None
    assert found.memory.verdict is verdict
    assert bool(found.warning) == (verdict is Verdict.NO_ROOM_FOR_ONE_SEQUENCE)


def test_weights_larger_than_a_device_are_refused_with_the_number_of_ranks_that_would_do() -> None:
    with pytest.raises(InvalidResource) as refused:
        fit(llama_70b(1, "80Gi"), config("meta-llama/Llama-3.1-70B"))
    (violation,) = refused.value.violations
    assert violation.path == "spec.parallelism"
    for word in ("131.4 GiB", "80.0 GiB", "spec.accelerator.memory", "parallelism.tensor 2 would do"):
        assert word in violation.message
    assert fit(llama_70b(2, "80Gi"), config("meta-llama/Llama-3.1-70B")).memory is not None


def test_the_warning_has_the_arithmetic_and_the_way_out() -> None:
    found = fit(llama_70b(2, "80Gi", maxModelLen=131072), config("meta-llama/Llama-3.1-70B"))
    for word in ("73.6 GiB (92 %", "weights take 65.7 GiB", "131072 tokens takes 20.0 GiB", "maxModelLen"):
        assert word in found.warning


def test_room_is_the_budget_less_weights_and_activations_and_sequences_come_in_blocks() -> None:
    document = llama_70b(8, "80Gi", maxModelLen=1000, maxNumSeqs=7, gpuMemoryPercent=50)
    memory = fit(document, config("meta-llama/Llama-3.1-70B")).memory
    assert memory is not None
    (stage,) = memory.stages
    assert memory.budget == 40 * GIB
    assert memory.room_bytes(stage) == 40 * GIB - stage.weights - stage.activations
    assert memory.sequence_bytes(stage) == 63 * KV_BLOCK_TOKENS * stage.kv_token
    assert memory.wanted_bytes(stage) == 7 * memory.sequence_bytes(stage)
    assert memory.full_sequences == (memory.room_bytes(stage) or 0) // memory.sequence_bytes(stage)


@given(st.integers(0, 400), st.integers(0, 400))
def test_more_memory_is_never_a_worse_verdict(small: int, large: int) -> None:
    order = list(Verdict)

    def rank(memory: int) -> int:
        try:
            found = fit(llama_70b(2, f"{memory}Gi"), config("meta-llama/Llama-3.1-70B"))
        except InvalidResource:
            return 0
        assert found.memory is not None
        return order.index(found.memory.verdict)

    assert rank(min(small, large)) <= rank(max(small, large))


@pytest.mark.parametrize(
    ("arguments", "value", "kv"),
    [([], 2, 2), (["--dtype", "float32"], 4, 4), (["--kv_cache_dtype=fp8_e5m2"], 2, 1), (["--dtype=half"], 2, 2)],
)
def test_flags_that_change_the_size_of_numbers(arguments: list[str], value: int, kv: int) -> None:
    document = cluster(engine={"extraArgs": arguments} if arguments else {})
    engine = engine_memory(document, decoder(read_config(SMOLLM2)), device=None)
    assert (engine.value_bytes, engine.kv_bytes) == (value, kv)


def test_settings_with_a_type_and_the_profiles_are_counted() -> None:
    config_ = {"dtype": "float32", "kvCacheDtype": "fp8_e4m3", "maxNumSeqs": 3}
    document = cluster(engine={"profile": "memory-constrained", "config": config_})
    engine = engine_memory(document, decoder(read_config(SMOLLM2)), device=None)
    assert (engine.value_bytes, engine.kv_bytes) == (4, 1)
    assert (engine.sequences, engine.batched_tokens, engine.percent) == (3, 2048, 95)


@pytest.mark.parametrize(
    "make",
    [lambda name: {"config": {"quantization": name}}, lambda name: {"extraArgs": ["-q", name]}],
    ids=["field", "-q"],
)
def test_a_quantization_while_loading_halves_the_linear_weights_and_an_unknown_one_is_not_counted(make: Any) -> None:
    found = config("meta-llama/Llama-3.1-8B")
    plain = fit(cluster(), found).memory
    quantized = fit(cluster(engine=make("fp8")), found).memory
    assert plain is not None
    assert quantized is not None
    assert quantized.stages[0].weights < plain.stages[0].weights * 6 // 10
    unknown = fit(cluster(engine=make("torchao"), accelerator={"memory": "1Gi"}), found)
    assert unknown.memory is None
    assert "quantization torchao" in unknown.note


@pytest.mark.parametrize("flag", ["--cpu-offload-gb", "--cpu_offload_gb=10", "--hf-overrides", "--offload-backend"])
def test_with_a_flag_that_moves_weights_nothing_is_claimed_or_refused(flag: str) -> None:
    document = cluster(accelerator={"memory": "1Gi"}, engine={"extraArgs": [flag]})
    found = fit(document, config("meta-llama/Llama-3.1-8B"))
    assert found.memory is None
    assert flag.partition("=")[0].replace("_", "-") in found.note
    assert found.warning.startswith("spec.accelerator.memory is not compared with the model")


def test_overridden_dimensions_are_not_judged() -> None:
    document = cluster(parallelism={"tensor": 3}, engine={"extraArgs": ["--hf-overrides", "{}"]})
    assert fit(document, config("meta-llama/Llama-3.1-8B")).memory is None


def test_of_an_unknown_model_nothing_is_said_unless_its_memory_was_asked_about() -> None:
    assert fit(cluster(), None).warning == ""
    told = fit(cluster(accelerator={"memory": "80Gi"}), None)
    assert "spec.model.config" in told.warning


@pytest.mark.parametrize(
    ("memory", "tokens", "sequences"),
    [(None, 8192, 1024), ("24Gi", 2048, 256), ("80Gi", 8192, 1024), ("180Gi", 16384, 1024)],
)
def test_without_settings_the_engine_is_taken_to_have_its_own_for_the_device(
    memory: str | None, tokens: int, sequences: int
) -> None:
    found = fit(llama_70b(8, memory), config("meta-llama/Llama-3.1-70B")).memory
    assert found is not None
    assert (found.engine.batched_tokens, found.engine.sequences, found.engine.length) == (tokens, sequences, 131072)


def test_arguments_are_found_in_every_spelling() -> None:
    words = ["--enforce-eager", "--kv-cache-dt", "fp8", "-q=awq", "--dtype"]
    assert argument(words, "--kv-cache-dtype") == "fp8"
    assert argument(words, "-q") == "awq"
    assert argument(words, "--enforce-eager") == ""
    assert argument(words, "--dtype") == ""
    assert argument(words, "--quantization") is None


@pytest.mark.parametrize(("size", "text"), [(0, "0.0 GiB"), (GIB * 3 // 2, "1.5 GiB"), (-GIB, "-1.0 GiB")])
def test_sizes_for_people(size: int, text: str) -> None:
    assert gib(size) == text


def test_what_is_told_of_the_model_reaches_no_pod() -> None:
    told = cluster(
        model={"source": "hf://meta-llama/Llama-3.1-8B-Instruct", "config": {"configMap": "llama"}},
        accelerator={"memory": "80Gi"},
    )
    assert template_inputs(told) == template_inputs(cluster())
    assert revision_name(told) == revision_name(cluster())
