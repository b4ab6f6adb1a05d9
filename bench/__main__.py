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

from bench import create, crowd, handover, latency, metrics_path, operator, report, starting, throughput, writes
from bench.audit import AuditLog
from bench.figures import Figure
from bench.image import operator as operator_image
from bench.latency import Owner
from bench.stage import OURS, Stage, staged
from e2e.progress import console, step
from tests.integration.server import OPERATOR_USER


class Part(StrEnum):
    """What can be measured alone."""

    SINGLE = "single"
    COUNTS = "counts"
    MANY = "many"
    HANDOVER = "handover"
    METRICS = "metrics"
    IMAGE = "image"
    LAUNCHER = "launcher"


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
    handovers: int = 50
    leaders: int = 1000
    pairs: int = throughput.FULL_PAIRS


QUICK = Sizes(
    runs=20,
    answers=20,
    counted=5,
    resources=50,
    starts=3,
    restarts=2,
    rest_seconds=20,
    handovers=2,
    leaders=50,
    pairs=2,
)


KeepFn = Callable[[Figure], None]
"""Called with each figure as soon as it is measured, so that a run that is cut off has not been in vain."""


async def single(sizes: Sizes, keep: KeepFn) -> None:
    """One resource at a time, without an audit log, which would cost time."""
    async with staged() as stage:
        with step("start the operator on an empty cluster"):
            keep(await starting.empty(stage, runs=sizes.starts))
        with operator.running(stage.user(OPERATOR_USER), stage.operator_log, namespaces=OURS) as process:
            await process.answers()
            with step(f"create {sizes.runs} resources, each beside a bare apply"):
                keep(await create.measure(stage, process, runs=sizes.runs))
            with step(f"make the last pod ready, {sizes.answers} times"):
                keep(await latency.readiness(stage, process, runs=sizes.answers))


async def counts(sizes: Sizes, keep: KeepFn) -> None:
    """What is written, by the audit log."""
    async with staged(audited=True) as stage:
        with operator.running(stage.user(OPERATOR_USER), stage.operator_log) as process:
            await process.answers()
            with step(f"count the writes for {sizes.counted} resources"):
                log = AuditLog(stage.plane.audit_log)
                for figure in await writes.measure(stage, process, log, resources=sizes.counted):
                    keep(figure)


async def many(sizes: Sizes, keep: KeepFn) -> None:
    """Many resources at once; the baseline has an API server of its own before and after, both as new."""
    owners = crowd.crowd(sizes.resources)
    async with crowded_stage() as stage:
        before = await _bare_burst(stage, owners)
    async with crowded_stage() as stage:
        burst = await _life(stage, owners, sizes, keep)
    async with crowded_stage() as stage:
        for figure in crowd.burst_figures(burst, [before, await _bare_burst(stage, owners)]):
            keep(figure)
        with step(f"restart {sizes.restarts} times among {len(owners)} resources"):
            for figure in await _restarts(stage, owners, sizes):
                keep(figure)


async def handovers(sizes: Sizes, keep: KeepFn) -> None:
    """Two operators for one Lease, one of which ends."""
    async with staged() as stage:
        with step(
            f"end the operator that leads, {sizes.handovers} times each way", expected_seconds=16 * sizes.handovers
        ):
            for figure in await handover.measure(stage, runs=sizes.handovers):
                keep(figure)


async def metrics(sizes: Sizes, keep: KeepFn) -> None:
    """The metrics server with many leaders, while autoscalers ask."""
    with step(f"serve the queues of {sizes.leaders} leaders"):
        for figure in await metrics_path.measure(leaders=sizes.leaders):
            keep(figure)


async def image(_: Sizes, keep: KeepFn) -> None:
    """What is downloaded; builds it, where it is not yet."""
    with step("build the operator's image"):
        keep(await asyncio.to_thread(operator_image))


async def launcher(sizes: Sizes, _: KeepFn) -> None:
    """The data path, with a real engine; it has a file of its own, and decides nothing on processors."""
    with step(f"vLLM alone and under the launcher, {sizes.pairs} pairs", expected_seconds=70 * sizes.pairs):
        found = await asyncio.to_thread(throughput.measure, sizes.pairs)
    throughput.keep(found)
    low, high = found["confidence_95"]
    console.print(f"tokens a second under the launcher / alone: {found['ratio']:g} (95 %: {low:g} to {high:g})")


@asynccontextmanager
async def crowded_stage() -> AsyncIterator[Stage]:
    """Audited, as all sides of this comparison are."""
    async with staged(audited=True) as stage:
        await crowd.prepare(stage)
        yield stage


async def _bare_burst(stage: Stage, owners: Sequence[Owner]) -> float:
    with step(f"bare apply of all children of {len(owners)} resources"):
        return await crowd.bare_burst(stage, owners)


async def _life(stage: Stage, owners: Sequence[Owner], sizes: Sizes, keep: KeepFn) -> crowd.Burst:
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
            keep(await latency.drift(stage, process, owners, runs=sizes.answers))
        with step(f"rest for {sizes.rest_seconds} s", expected_seconds=sizes.rest_seconds):
            keep(await crowd.rest(process, log, resources=len(owners), seconds=sizes.rest_seconds))
        await crowd.delete(stage, owners, process)
        memory.append(process.resident_mb)
    for figure in crowd.memory_figures(memory, len(owners)):
        keep(figure)
    return burst


async def _restarts(stage: Stage, owners: Sequence[Owner], sizes: Sizes) -> list[Figure]:
    """The baseline left everything but the right statuses, so a first process puts those in order."""
    with operator.running(stage.user(OPERATOR_USER), stage.operator_log) as process:
        await process.answers()
        await crowd.settle(stage, owners, process)
    return await starting.crowded(stage, owners, AuditLog(stage.plane.audit_log), runs=sizes.restarts)


PARTS: dict[Part, Callable[[Sizes, KeepFn], Coroutine[Any, Any, None]]] = {
    Part.SINGLE: single,
    Part.COUNTS: counts,
    Part.MANY: many,
    Part.HANDOVER: handovers,
    Part.METRICS: metrics,
    Part.IMAGE: image,
    Part.LAUNCHER: launcher,
}


def main(  # noqa: PLR0917 - the options of a command line
    only: Annotated[list[Part] | None, typer.Option(help="Measure these parts only.")] = None,
    quick: Annotated[  # noqa: FBT002 - a flag of a command line
        bool, typer.Option(help="Small runs, which decide nothing.")
    ] = False,
    runs: Annotated[int | None, typer.Option(help="Pairs of create and bare apply.", min=1)] = None,
    answers: Annotated[int | None, typer.Option(help="Deleted children, and pods made ready.", min=1)] = None,
    resources: Annotated[int | None, typer.Option(help="How many `many` is.", min=1)] = None,
    rest_seconds: Annotated[int | None, typer.Option(help="How long to count at rest.", min=1)] = None,
    pairs: Annotated[int | None, typer.Option(help="Pairs of vLLM with and without the launcher.", min=2)] = None,
    results: Annotated[Path, typer.Option(help="The file that keeps the figures.")] = report.RESULTS,
) -> None:
    """Measure the control plane on an API server and an etcd of its own; keeps what was measured in a file.

    Exits with 1 when a figure that was measured in full misses its limit.
    """
    given = {"runs": runs, "answers": answers, "resources": resources, "rest_seconds": rest_seconds, "pairs": pairs}
    sizes = replace(QUICK if quick else Sizes(), **{key: value for key, value in given.items() if value is not None})
    # An interrupt unwinds everything, so that no server outlives the bench; a plain SIGTERM would not.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    entries: dict[str, Any] = {}

    def keep(figure: Figure) -> None:
        entries[figure.key] = report.entry(figure, load=(before, os.getloadavg()[0]))
        report.keep(entries, results)

    for name in only or list(Part):
        before = os.getloadavg()[0]
        asyncio.run(PARTS[name](sizes, keep))
    report.show(entries, console)
    if any(entry["status"] == "fail" for entry in entries.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
