"""From the create of one resource until all its children are stored, in turns with a bare apply of the same bytes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from statistics import mean, median
from typing import Any

from bench import bare, naive
from bench.board import Complete, told, within
from bench.figures import Figure, drifted, median_ratio, spread
from bench.operator import Measured
from bench.scenario import steps
from bench.stage import BARE, BARE_USER, NAIVE, NAIVE_USER, OURS, Stage

_WARM_UP = 5
_PARALLEL = 64


async def measure(stage: Stage, operator: Measured, *, runs: int) -> Figure:
    """``operator`` must serve the namespace OURS alone."""
    took: dict[str, list[float]] = {OURS: [], BARE: [], NAIVE: []}
    work: list[float] = []
    rounds: list[float] = []
    async with (
        bare.running(stage.user(BARE_USER), stage.folder, parallel=_PARALLEL) as baseline,
        naive.running(stage.user(NAIVE_USER), stage.folder / "naive.log", NAIVE) as other,
    ):
        turns: list[tuple[str, Callable[[str], Awaitable[float]]]] = [
            (BARE, lambda name: _bare(stage, baseline, name)),
            (OURS, lambda name: _watched(stage, OURS, name, operator.quiet)),
            (NAIVE, lambda name: _watched(stage, NAIVE, name, other.quiet)),
        ]
        for number in range(_WARM_UP + runs):
            name = f"llm-{number:04d}"
            for side, turn in turns if number % 2 else reversed(turns):
                used, before = operator.processor_seconds, operator.reconciles()
                seconds = await turn(name)
                if number >= _WARM_UP:
                    took[side].append(seconds)
                if side == OURS and number >= _WARM_UP:
                    work.append(operator.processor_seconds - used)
                    rounds.append(operator.reconciles() - before)
            # Without the gateway's word the operator looks again every 15 s, in the midst of later turns.
            await stage.take_route(OURS, name)
            await operator.quiet()
    details = {
        **_details(took),
        "operator_processor_ms_each": round(1000 * mean(work), 1),
        "reconciles_each": round(mean(rounds), 1),
    }
    return Figure("create_ratio", median_ratio(took[OURS], took[BARE]), runs, details)


async def _watched(stage: Stage, side: str, name: str, quiet: Callable[[], Awaitable[object]]) -> float:
    """From before the create is sent; returns when the operator of this side rests again."""
    complete = stage.board.when(side, name, Complete())
    status = stage.board.when(side, name, told)
    began = time.monotonic()
    await stage.create(side, name)
    ended = await within(complete, what=f"the children of {side}/{name}", seconds=30)
    if side == OURS:
        await within(status, what=f"the status of {side}/{name}", seconds=30)
    status.cancel()
    await quiet()
    return ended - began


async def _bare(stage: Stage, baseline: bare.Bare, name: str) -> float:
    """The resource itself is stored before the clock starts: this is the children's apply and nothing else."""
    stored = await stage.create(BARE, name)
    await baseline.load(bare.chains(steps(stored)))
    complete = stage.board.when(BARE, name, Complete())
    began = time.monotonic()
    await baseline.go()
    return await within(complete, what=f"the children of {BARE}/{name}", seconds=30) - began


def _details(took: dict[str, list[float]]) -> dict[str, Any]:
    pairs = [mine / base for mine, base in zip(took[OURS], took[BARE], strict=True)]
    return {
        "ours": spread(took[OURS]),
        "bare": spread(took[BARE]),
        "naive_kopf": spread(took[NAIVE]),
        "naive_kopf_ratio": round(median_ratio(took[NAIVE], took[BARE]), 3),
        "median_of_pairwise_ratios": round(median(pairs), 3),
        "bare_drift": round(drifted(took[BARE]), 3),
    }
