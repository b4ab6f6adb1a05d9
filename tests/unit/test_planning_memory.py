"""Whether a model fits its devices: what its ranks keep, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.models import GIB, SMOLLM2, config, decoder, fit
from tests.unit.resources import cluster
from trireme_operator.api import InferenceCluster, InvalidResource
from trireme_operator.planning import (
    Verdict,
    gib,
    revision_name,
    template_inputs,
)
from trireme_operator.planning.engine_memory import argument, engine_memory
from trireme_operator.planning.memory import KV_BLOCK_TOKENS
from trireme_operator.planning.model_config import read_config


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


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_more_memory_is_never_a_worse_verdict(small: int, large: int) -> None:
    """With the engine's own settings it may be: on a larger device it works on more sequences at once."""
    order = list(Verdict)

    def rank(memory: int) -> int:
        try:
            document = llama_70b(2, f"{memory}Gi", maxModelLen=8192, maxNumSeqs=64, maxNumBatchedTokens=8192)
            found = fit(document, config("meta-llama/Llama-3.1-70B"))
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


def test_on_processors_the_engines_own_settings_grow_with_the_ranks() -> None:
    document = cluster(parallelism={"pipeline": 2}, accelerator={"resource": "cpu"})
    engine = engine_memory(document, decoder(read_config(SMOLLM2)), device=None)
    assert (engine.batched_tokens, engine.sequences) == (4096, 256)


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
