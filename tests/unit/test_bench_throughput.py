"""The arithmetic of the launcher's cost, and what the engine's side is told to run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bench import throughput
from bench.pairs import ratio_of


def test_the_ratio_is_the_geometric_mean_of_the_pairs() -> None:
    found = ratio_of([50.0, 200.0], [100.0, 100.0])
    assert found.value == pytest.approx(1.0)
    assert found.low * found.high == pytest.approx(1.0), "the interval is even in logarithms"
    assert found.high == pytest.approx(math.exp(12.706 * math.log(2)), rel=1e-6)


def test_a_machine_that_slows_down_moves_pairs_and_not_their_ratio() -> None:
    found = ratio_of([99.0, 49.5, 24.75], [100.0, 50.0, 25.0])
    assert (found.value, found.low, found.high) == pytest.approx((0.99, 0.99, 0.99))


@pytest.mark.parametrize(("launched", "alone"), [([1.0], [1.0]), ([1.0, 1.0], [1.0]), ([], [])])
def test_less_than_two_pairs_have_no_interval(launched: list[float], alone: list[float]) -> None:
    with pytest.raises(ValueError, match="two pairs at least"):
        ratio_of(launched, alone)


def test_more_pairs_than_the_table_has_are_taken() -> None:
    assert ratio_of([1.0, 1.1] * 10, [1.0] * 20).low < 1.05 < ratio_of([1.0, 1.1] * 10, [1.0] * 20).high


def test_an_entry_says_whether_the_run_was_full(tmp_path: Path) -> None:
    pair = {"first": "alone", "launched": 99.0, "alone": 100.0}
    short = throughput.entry([pair] * 2, load=(0.1, 1.5))
    full = throughput.entry([pair] * throughput.FULL_PAIRS, load=(0.1, 1.5))
    assert (short["full"], full["full"]) == (False, True)
    assert full["ratio"] == 0.99
    throughput.keep(full, tmp_path / "results" / "launcher.json")
    assert json.loads((tmp_path / "results" / "launcher.json").read_text())["pairs"] == [pair] * 10


def test_the_engine_is_started_with_one_rank_as_it_is_rendered() -> None:
    found = throughput._plan(3)
    assert found["args"][:2] == ["vllm", "serve"]
    assert found["env"]["TRIREME_PIPELINE_PARALLEL_SIZE"] == "1"
    assert (found["pairs"], found["name"]) == (3, "smollm2")
