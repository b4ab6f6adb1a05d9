"""How long a new process takes until it is of use."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench import operator
from bench.audit import AuditLog, Request, summary
from bench.board import Complete, Event, Wanted, within
from bench.figures import Figure
from bench.latency import Owner, child_of
from bench.stage import OURS, Stage
from bench.writes import operators_writes
from tests.integration.server import OPERATOR_USER
from trireme_operator.kube import LEADER_WORKER_SET


async def empty(stage: Stage, *, runs: int) -> Figure:
    """Start the operator where there is next to nothing, as Kubernetes does; the probe's answer ends the clock.

    The first start is not counted: it may have to compile modules. Each also finds one resource that came while nobody
    was there; when its children are stored is in the details.
    """
    answers, children = [], []
    for number in range(runs + 1):
        name = f"early-{number}"
        complete = stage.board.when(OURS, name, Complete())
        await stage.create(OURS, name)
        with operator.running(stage.user(OPERATOR_USER), stage.operator_log) as process:
            answers.append(await process.answers())
            children.append(await within(complete, what=f"children of {name}", seconds=60) - process.started)
            await process.quiet()
    details = {
        "all_s": [round(value, 2) for value in answers[1:]],
        "children_of_an_earlier_resource_s": [round(value, 2) for value in children[1:]],
    }
    return Figure("start_seconds", median(answers[1:]), runs, details)


async def crowded(stage: Stage, owners: Sequence[Owner], log: AuditLog, *, runs: int) -> list[Figure]:
    """Start the operator where many resources are, one child of one of them being missing.

    The resource is from the middle of the crowd. That child, its number of groups and the resource's status are all
    that may be written.
    """
    took, sweeps = [], []
    needless: list[Request] = []
    for number in range(runs):
        namespace, name = owners[(len(owners) // 2 + number) % len(owners)]
        child = await child_of(stage, LEADER_WORKER_SET, namespace, name)
        await stage.client.send("DELETE", LEADER_WORKER_SET.path(namespace, child))
        log.new(OPERATOR_USER)
        seen = stage.board.when(namespace, name, _added(child))
        with operator.running(stage.user(OPERATOR_USER), stage.operator_log) as process:
            took.append(await within(seen, what=f"{child} is back") - process.started)
            sweeps.append(await process.quiet(for_seconds=1.0) - process.started)
        needless += [request for request in operators_writes(log) if request.name not in {child, name}]
    details = {
        "all_s": [round(value, 2) for value in took],
        "until_it_had_looked_at_all_s": [round(value, 2) for value in sweeps],
        "restarts": runs,
    }
    writes = {"restarts": runs, "by_kind": summary(needless)}
    return [
        Figure("restart_seconds", median(took), len(owners), details),
        Figure("restart_writes", len(needless), len(owners), writes),
    ]


def _added(child: str) -> Wanted:
    def added(event: Event) -> bool:
        return (event.kind, event.type, event.name) == (LEADER_WORKER_SET, "ADDED", child)

    return added
