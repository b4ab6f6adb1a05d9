"""How many requests that change something the operator sends, counted by the API server's audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bench.audit import AuditLog, Request, summary
from bench.figures import Figure
from bench.operator import Measured
from bench.scenario import FEWEST_WRITES
from bench.stage import OURS, Stage, at_once
from tests.integration.server import OPERATOR_USER
from trireme_operator.kube import INFERENCE_CLUSTER, Obj

_AFTER_EDIT_SECONDS = 2.0
"""Longer than the operator ever waits before it looks at an edit."""


def operators_writes(log: AuditLog) -> list[Request]:
    """The operator's mutating requests since the last look."""
    return [request for request in log.new(OPERATOR_USER) if request.mutating]


async def measure(stage: Stage, operator: Measured, log: AuditLog, *, resources: int) -> list[Figure]:
    """Create resources one after the other, then edit them without a change. The stage must be audited."""
    log.new(OPERATOR_USER)
    names = [f"counted-{number:04d}" for number in range(resources)]
    for name in names:
        await stage.completed(OURS, name)
    await operator.quiet(for_seconds=0.5)
    found = log.new(OPERATOR_USER)
    created = [request for request in found if request.mutating]
    reads = len([request for request in found if request.verb in {"get", "list"}])
    details = {
        "requests": len(created),
        "fewest": resources * FEWEST_WRITES,
        "by_kind": summary(created),
        "reads_each": round(reads / resources, 1),
    }
    ratio = len(created) / (resources * FEWEST_WRITES)
    await at_once(stage.take_route(OURS, name) for name in names)
    await operator.quiet(for_seconds=0.5)
    log.new(OPERATOR_USER)  # the statuses that tell of the routes are due
    return [Figure("create_write_ratio", ratio, resources, details), await _noop(stage, operator, log, names)]


async def _noop(stage: Stage, operator: Measured, log: AuditLog, names: Sequence[str]) -> Figure:
    """Edits that reach no child: an annotation and a label of the resource, and the same spec once more."""
    patches: list[Obj] = [
        {"metadata": {"annotations": {"bench.dev/note": "x"}}},
        {"metadata": {"labels": {"bench.dev/team": "x"}}},
        {"spec": {"parallelism": {"tensor": 1, "pipeline": 1}}},
    ]
    for patch in patches:
        await at_once(stage.client.merge(INFERENCE_CLUSTER.path(OURS, name), patch) for name in names)
        await operator.quiet(for_seconds=0.5)
    await asyncio.sleep(_AFTER_EDIT_SECONDS)
    found = operators_writes(log)
    details = {"edits": len(patches) * len(names), "by_kind": summary(found)}
    return Figure("noop_writes", len(found), len(names), details)
