"""`make bench`: measure the control plane. `python -m bench --help` shows how to measure less."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import create, crowd, latency, operator, report, starting, writes
from bench.audit import AuditLog
from bench.figures import Figure
from bench.latency import Owner
from bench.stage import OURS, Stage, staged
from e2e.progress import console, step
from tests.integration.server import OPERATOR_USER


class Part(StrEnum):
    """What can be measured alone."""

    SINGLE = "single"
    COUNTS = "counts"
    MANY = "many"


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    runs: int = 200
    answers: int = 100
    counted: int = 20
    resources: int = 1000
    starts: int = 5
    restarts: int = 3
    rest_seconds: int = 600


QUICK = Sizes(runs=20, answers=20, counted=5, resources=50, starts=3, restarts=2, rest_seconds=20)


async def single(sizes: Sizes) -> list[Figure]:
    """One resource at a time, without an audit log, which would cost time."""
    figures = []
    async with staged() as stage:
        with step("start the operator on an empty cluster"):
            figures.append(await starting.empty(stage, runs=sizes.starts))
        with operator.running(stage.user(OPERATOR_USER), stage.operator_log, namespaces=OURS) as process:
            await process.answers()
            with step(f"create {sizes.runs} resources, each beside a bare apply"):
                figures += await create.measure(stage, process, runs=sizes.runs)
            with step(f"make the last pod ready, {sizes.answers} times"):
                figures.append(await latency.readiness(stage, process, runs=sizes.answers))
    return figures


async def counts(sizes: Sizes) -> list[Figure]:
    """What is written, by the audit log."""
    async with staged(audited=True) as stage:
        with operator.running(stage.user(OPERATOR_USER), stage.operator_log) as process:
            await process.answers()
            with step(f"count the writes for {sizes.counted} resources"):
                log = AuditLog(stage.plane.audit_log)
                return await writes.measure(stage, process, log, resources=sizes.counted)


async def many(sizes: Sizes) -> list[Figure]:
    """Many resources at once; the baseline has an API server of its own before and after, both as new."""
    owners = crowd.crowd(sizes.resources)
    async with crowded_stage() as stage:
        bare = [await _bare_burst(stage, owners)]
    async with crowded_stage() as stage:
        figures, burst = await _life(stage, owners, sizes)
    async with crowded_stage() as stage:
        bare.append(await _bare_burst(stage, owners))
        with step(f"restart {sizes.restarts} times among {len(owners)} resources"):
            figures += await _restarts(stage, owners, sizes)
    return [*crowd.burst_figures(burst, bare), *figures]


@asynccontextmanager
async def crowded_stage() -> AsyncIterator[Stage]:
    """Audited, as all sides of this comparison are."""
    async with staged(audited=True) as stage:
        await crowd.prepare(stage)
        yield stage


async def _bare_burst(stage: Stage, owners: Sequence[Owner]) -> float:
    with step(f"bare apply of all children of {len(owners)} resources"):
        return await crowd.bare_burst(stage, owners)


async def _life(stage: Stage, owners: Sequence[Owner], sizes: Sizes) -> tuple[list[Figure], crowd.Burst]:
    """One operator from the empty cluster through the burst and a time at rest, to the empty cluster again."""
    log = AuditLog(stage.plane.audit_log)
    with operator.running(stage.user(OPERATOR_USER), stage.operator_log) as process:
        await process.answers()
        await process.quiet(for_seconds=1.0)
        memory = [process.resident_mb]
        with step(f"burst of {len(owners)} resources"):
            burst = await crowd.burst(stage, owners, process)
            await crowd.settle(stage, owners, process)
        memory.append(process.resident_mb)
        with step(f"delete one child, {sizes.answers} times"):
            figures = [await latency.drift(stage, process, owners, runs=sizes.answers)]
        with step(f"rest for {sizes.rest_seconds} s", expected_seconds=sizes.rest_seconds):
            figures.append(await crowd.rest(process, log, resources=len(owners), seconds=sizes.rest_seconds))
        await crowd.delete(stage, owners, process)
        memory.append(process.resident_mb)
    return [*figures, *crowd.memory_figures(memory, len(owners))], burst


async def _restarts(stage: Stage, owners: Sequence[Owner], sizes: Sizes) -> list[Figure]:
    """The baseline left everything but the right statuses, so a first process puts those in order."""
    with operator.running(stage.user(OPERATOR_USER), stage.operator_log) as process:
        await process.answers()
        await crowd.settle(stage, owners, process)
    return await starting.crowded(stage, owners, AuditLog(stage.plane.audit_log), runs=sizes.restarts)


PARTS: dict[Part, Callable[[Sizes], Coroutine[Any, Any, list[Figure]]]] = {
    Part.SINGLE: single,
    Part.COUNTS: counts,
    Part.MANY: many,
}


def main(  # noqa: PLR0917 - the options of a command line
    only: Annotated[list[Part] | None, typer.Option(help="Measure these parts only.")] = None,
    quick: Annotated[  # noqa: FBT002 - a flag of a command line
        bool, typer.Option(help="Small runs, which decide nothing: about two minutes.")
    ] = False,
    runs: Annotated[int | None, typer.Option(help="Pairs of create and bare apply.", min=1)] = None,
    answers: Annotated[int | None, typer.Option(help="Deleted children, and pods made ready.", min=1)] = None,
    resources: Annotated[int | None, typer.Option(help="How many `many` is.", min=1)] = None,
    rest_seconds: Annotated[int | None, typer.Option(help="How long to count at rest.", min=1)] = None,
    results: Annotated[Path, typer.Option(help="The file that keeps the figures.")] = report.RESULTS,
) -> None:
    """Measure the control plane on an API server and an etcd of its own; keeps what was measured in a file.

    Exits with 1 when a figure that was measured in full misses its limit.
    """
    given = {"runs": runs, "answers": answers, "resources": resources, "rest_seconds": rest_seconds}
    sizes = replace(QUICK if quick else Sizes(), **{key: value for key, value in given.items() if value is not None})
    # An interrupt unwinds everything, so that no server outlives the bench; a plain SIGTERM would not.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    entries: dict[str, Any] = {}
    for name in only or list(Part):
        before = os.getloadavg()[0]
        found = asyncio.run(PARTS[name](sizes))
        load = (before, os.getloadavg()[0])
        entries |= {figure.key: report.entry(figure, load=load) for figure in found}
        figures = report.keep(entries, results)
    report.show(figures, set(entries), console)
    if any(figures[key]["status"] == "fail" for key in entries):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
