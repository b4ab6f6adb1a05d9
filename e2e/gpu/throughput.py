"""Tokens a second of the launcher's engine against bare vLLM's: both on the same devices at once, asked in turns.

The ones that are not asked have nothing to do, which costs the other nothing on the device. So a layout needs one start
of each side, and what the machine does at the moment hits both alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench.pairs import ratio_of
from e2e.gpu.client import Bench
from e2e.gpu.contest import BARE, LAUNCHER, Contest
from e2e.gpu.machine import Machine
from e2e.gpu.shapes import Layout

Obj = dict[str, Any]

LIMIT: Final = 0.99
_ALONE_PERCENT: Final = 45
_TOGETHER_PERCENT: Final = 14
_TOGETHER_ROOM_GIB: Final = 11
"""Enough for 512 requests of 640 tokens of the dense model on four ranks, and six engines fit a device of 140 GiB."""
_ORDER: Final = (LAUNCHER, BARE, BARE, LAUNCHER)


def compare(
    layouts: Sequence[tuple[Layout, Path]], machine: Machine, *, prompts: int, times: int, seconds: float
) -> dict[str, Obj]:
    """Results by layout; ``layouts`` are pairs with their models, and all of them are loaded before the first round.

    ``times``: how often four rounds of each layout are measured, two of each side; fewer when ``seconds`` are over.
    Raises RuntimeError with what an engine that does not serve has printed.
    """
    together = len(layouts) > 1
    with ExitStack() as undo:
        benches = {}
        for layout, model in layouts:
            folder = machine.folder / layout.name / "bench"
            processors = machine.client_processors
            bench = Bench(folder, model, rehearsal=machine.rehearsal, processors=processors)
            undo.callback(bench.close)
            benches[layout.name] = bench
        contests = [
            Contest(
                layout,
                machine,
                model,
                number=machine.first + number,
                percent=_TOGETHER_PERCENT if together else _ALONE_PERCENT,
                room=_TOGETHER_ROOM_GIB if together and not machine.rehearsal else None,
            )
            for number, (layout, model) in enumerate(layouts)
        ]
        for contest in contests:
            undo.callback(contest.kill)
            contest.start()
        for contest in contests:
            contest.wait_launcher()
        for contest in contests:
            contest.start_bare()
        for contest in contests:
            contest.wait_bare()
        _rounds(contests, benches, prompts=prompts, times=times, seconds=seconds)
        return {
            contest.layout.name: {
                **judged(contest.rounds),
                "prompts": prompts,
                "loaded_together": [layout.name for layout, _ in layouts],
                **contest.described(),
            }
            for contest in contests
        }


def _rounds(
    contests: Sequence[Contest], benches: Mapping[str, Bench], *, prompts: int, times: int, seconds: float
) -> None:
    for contest in contests:
        benches[contest.layout.name].wait()
        for side in (LAUNCHER, BARE):
            contest.measure(benches[contest.layout.name], side, max(2, prompts // 4), keep=False)
    began = time.monotonic()
    for number in range(times):
        passed = time.monotonic() - began
        if number and passed + passed / number > seconds:
            return
        for contest in contests:
            for side in _ORDER:
                contest.measure(benches[contest.layout.name], side, prompts)


def judged(rounds: Mapping[str, Sequence[Obj]]) -> Obj:
    """The ratio of pairs of rounds with its 95 % interval, and medians."""
    rates = {side: [each["output_throughput"] for each in found] for side, found in rounds.items()}
    ratio = ratio_of(rates[LAUNCHER], rates[BARE])
    latencies = {
        f"{name}_ratio": round(_median(rounds[LAUNCHER], key) / _median(rounds[BARE], key), 4)
        for name, key in (("ttft", "median_ttft_ms"), ("tpot", "median_tpot_ms"))
    }
    return {
        "throughput_ratio": round(ratio.value, 4),
        "interval": [round(ratio.low, 4), round(ratio.high, 4)],
        "passed": ratio.value >= LIMIT,
        "limit": LIMIT,
        "launcher_tokens_per_second": round(statistics.median(rates[LAUNCHER]), 1),
        "bare_tokens_per_second": round(statistics.median(rates[BARE]), 1),
        **latencies,
    }


def _median(rounds: Sequence[Obj], key: str) -> float:
    values: list[float] = [each[key] for each in rounds]
    return statistics.median(values)
