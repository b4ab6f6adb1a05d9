"""Many resources at once: how fast they come about, what they cost in memory, and what happens at a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from bench import bare
from bench.audit import AuditLog, summary
from bench.board import Complete, told, within
from bench.figures import Figure, drifted, spread
from bench.latency import Owner
from bench.operator import Measured
from bench.scenario import CHILDREN, Step, steps
from bench.stage import BARE_USER, Stage, at_once
from tests.integration.server import OPERATOR_USER
from trireme_operator.api.labels import LABEL_CLUSTER
from trireme_operator.kube import INFERENCE_CLUSTER, Kind, Obj

_NAMESPACES = 10
_PARALLEL = 64
_GIVEN_BACK_SECONDS = 3.0
"""The operator waits until deletions are over, and its allocator a second more (MALLOC_CONF in the Dockerfile)."""


def crowd(resources: int) -> list[Owner]:
    """Namespace and name of each resource; ten namespaces take turns."""
    return [(f"team-{number % _NAMESPACES}", f"llm-{number:04d}") for number in range(resources)]


async def prepare(stage: Stage) -> None:
    """Make the namespaces."""
    await stage.namespaces(f"team-{number}" for number in range(_NAMESPACES))


@dataclass(frozen=True)
class Burst:
    """Seconds for the whole, and for each resource from the create of its own."""

    seconds: float
    each: tuple[float, ...]
    processor_seconds: float
    """The operator's, for all of it."""


async def burst(stage: Stage, owners: Sequence[Owner], process: Measured) -> Burst:
    """Create all resources as fast as they are taken; ends with the last child of the last one."""
    complete = [stage.board.when(*owner, Complete()) for owner in owners]
    statuses = [stage.board.when(*owner, told) for owner in owners]
    created: dict[Owner, float] = {}

    async def create(owner: Owner) -> None:
        created[owner] = time.monotonic()
        await stage.create(*owner)

    used = process.processor_seconds
    began = time.monotonic()
    await at_once(create(owner) for owner in owners)
    ends = [await within(future, what=f"children of {owner}") for owner, future in zip(owners, complete, strict=True)]
    for owner, future in zip(owners, statuses, strict=True):
        await within(future, what=f"status of {owner}")
    each = tuple(end - created[owner] for owner, end in zip(owners, ends, strict=True))
    return Burst(max(ends) - began, each, process.processor_seconds - used)


async def bare_burst(stage: Stage, owners: Sequence[Owner]) -> float:
    """The same writes by the baseline; the resources themselves are stored before the clock starts."""
    stored: list[Obj] = []

    async def create(owner: Owner) -> None:
        stored.append(await stage.create(*owner))

    await at_once(create(owner) for owner in owners)
    async with bare.running(stage.user(BARE_USER), stage.folder, parallel=_PARALLEL) as baseline:
        given = [chain for obj in stored for chain in bare.chains([*steps(obj), _status(obj)])]
        await baseline.load(given)
        complete = [stage.board.when(*owner, Complete()) for owner in owners]
        began = time.monotonic()
        await baseline.go()
        ends = [await within(future, what="the baseline's children") for future in complete]
    return max(ends) - began


def _status(stored: Obj) -> Step:
    """A status of the size that the operator writes."""
    message = "0 of 6 groups are ready; zone zone-a, group 0: the leader's pod does not exist yet " + "." * 150
    at = {"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}
    names = ("Accepted", "Available", "Progressing", "RoutesProgrammed", "Ready")
    told = [{"type": name, "status": "False", "reason": "Starting", "message": message, **at} for name in names]
    meta = {key: stored["metadata"][key] for key in ("name", "namespace")}
    body: Obj = {
        "apiVersion": INFERENCE_CLUSTER.api_version,
        "kind": INFERENCE_CLUSTER.kind,
        "metadata": meta,
        "status": {"observedGeneration": 1, "conditions": told},
    }
    return Step(INFERENCE_CLUSTER, body, subresource="status")


async def settle(stage: Stage, owners: Sequence[Owner], process: Measured) -> None:
    """Do the gateway's part for all, and wait until the operator has told of it and rests."""
    await at_once(stage.take_route(*owner) for owner in owners)
    await process.quiet(for_seconds=1.0)


async def rest(process: Measured, log: AuditLog, *, resources: int, seconds: int) -> Figure:
    """Do nothing; what the operator asks for meanwhile is counted."""
    log.new(OPERATOR_USER)
    used = process.processor_seconds
    await asyncio.sleep(seconds)
    found = log.new(OPERATOR_USER)
    writes = [request for request in found if request.mutating]
    details = {
        "resources": resources,
        "by_kind": summary(writes),
        "reads": summary(request for request in found if not request.mutating),
        "processor_percent_of_a_core": round(100 * (process.processor_seconds - used) / seconds, 1),
    }
    return Figure("rest_writes", len(writes), seconds, details)


async def delete(stage: Stage, owners: Sequence[Owner], process: Measured) -> None:
    """Delete all resources, and their children as the garbage collector would; wait until memory is given back."""
    for namespace in sorted({owner[0] for owner in owners}):
        for kind in (INFERENCE_CLUSTER, *CHILDREN):
            await stage.client.send("DELETE", f"{kind.path(namespace)}?labelSelector={_selector(kind)}")
    await process.quiet(for_seconds=1.0)
    await asyncio.sleep(_GIVEN_BACK_SECONDS)


def _selector(kind: Kind) -> str:
    return "" if kind == INFERENCE_CLUSTER else LABEL_CLUSTER


def burst_figures(ours: Burst, bare: Sequence[float]) -> list[Figure]:
    """``bare``: seconds of the baseline before and after."""
    count = len(ours.each)
    details = {
        "ours_s": round(ours.seconds, 2),
        "bare_s": [round(value, 2) for value in bare],
        "bare_drift": round(drifted(bare), 3),
        "resources_per_second": round(count / ours.seconds, 1),
        "operator_processor_ms_each": round(1000 * ours.processor_seconds / count, 1),
    }
    return [
        Figure("burst_ratio", ours.seconds / mean(bare), count, details),
        Figure("burst_max_over_median", max(ours.each) / median(ours.each), count, spread(ours.each)),
    ]


def memory_figures(mb: Sequence[float], resources: int) -> list[Figure]:
    """``mb``: resident memory before, with all resources, and after all were deleted."""
    before, full, after = mb
    rounded = [round(value, 1) for value in mb]
    details = {"resources": resources, "before_full_after_mb": rounded}
    return [
        Figure("rss_mb_at_1000", full, resources, details),
        Figure("rss_kb_each", 1000 * (full - before) / resources, resources),
        Figure("rss_after_delete_ratio", after / before, resources),
    ]
