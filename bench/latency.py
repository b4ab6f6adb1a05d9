"""How soon the operator answers what others do: a deleted child, and the last pod that became ready."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence

from bench.board import Event, ready, within
from bench.figures import Figure, percentile, spread
from bench.operator import Measured
from bench.scenario import CHILDREN, pod_status, pods
from bench.stage import OURS, Stage
from trireme_operator.api.labels import LABEL_CLUSTER
from trireme_operator.kube import POD, Kind

_SEED = 20261
Owner = tuple[str, str]
"""Namespace and name of a resource."""


async def drift(stage: Stage, operator: Measured, resources: Sequence[Owner], *, runs: int) -> Figure:
    """Delete one child at a time, of each kind in turn and of resources picked at random."""
    picked = random.Random(_SEED)  # noqa: S311 - a choice that can be repeated, not a secret
    took = []
    for kind in itertools.islice(itertools.cycle(CHILDREN), runs):
        namespace, name = picked.choice(resources)
        took.append(await _repaired(stage, kind, namespace, name))
        await operator.quiet()
    details = {**spread(took), "resources_present": len(resources)}
    return Figure("drift_p99_seconds", percentile(took, 99), runs, details)


async def child_of(stage: Stage, kind: Kind, namespace: str, name: str) -> str:
    """The name of one child of a kind."""
    found = await stage.client.get(f"{kind.path(namespace)}?labelSelector={LABEL_CLUSTER}%3D{name}")
    return str(found["items"][0]["metadata"]["name"])


async def _repaired(stage: Stage, kind: Kind, namespace: str, name: str) -> float:
    child = await child_of(stage, kind, namespace, name)

    def back(event: Event) -> bool:
        return (event.kind, event.type, event.name) == (kind, "ADDED", child)

    seen = stage.board.when(namespace, name, back)
    began = time.monotonic()
    await stage.client.send("DELETE", kind.path(namespace, child))
    return await within(seen, what=f"{kind} {child} is back", seconds=60) - began


async def readiness(stage: Stage, operator: Measured, *, runs: int) -> Figure:
    """The status of the last pod that is not ready changes, and back again; the route's weights change with it."""
    name = "llm-ready"
    stored = await stage.completed(OURS, name)
    await stage.take_route(OURS, name)
    await stage.take_groups(OURS, name)
    first = stage.board.when(OURS, name, ready)
    for pod in pods(stored):
        await stage.client.create(POD, pod)
        await stage.client.merge(POD.path(OURS, pod["metadata"]["name"], "status"), pod_status(ready=True))
    await within(first, what=f"{name} is Ready", seconds=60)
    last = pods(stored)[-1]["metadata"]["name"]
    up, down = [], []
    for _ in range(runs):
        down.append(await _turned(stage, name, last, to_ready=False))
        await operator.quiet()
        up.append(await _turned(stage, name, last, to_ready=True))
        await operator.quiet()
    details = {**spread(up), "back_to_not_ready": spread(down)}
    return Figure("ready_p99_seconds", percentile(up, 99), runs, details)


async def _turned(stage: Stage, name: str, pod: str, *, to_ready: bool) -> float:
    wanted = str(to_ready)
    seen = stage.board.when(OURS, name, lambda event: ready(event, status=wanted))
    began = time.monotonic()
    await stage.client.merge(POD.path(OURS, pod, "status"), pod_status(ready=to_ready))
    return await within(seen, what=f"{name}: Ready={wanted}", seconds=60) - began
