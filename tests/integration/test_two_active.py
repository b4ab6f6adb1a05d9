"""Two operators that both write: no Lease keeps them apart, and they do no harm all the same.

15 seconds; `TRIREME_ACTIVE_SECONDS=600` makes it ten minutes. The edits are seeded (`TRIREME_SEED`).

Both serve this test's namespace only: what other tests left on the API server, a refused child that is tried again now
and then, would count as a write at rest.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.server import Hands, Operator, running_operator, until
from tests.unit.controller_samples import resource
from trireme_operator.controller.scope import CHILD_KINDS
from trireme_operator.kube import (
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    SERVICE,
    Conflict,
    Kind,
    NotFound,
    Obj,
)

SECONDS = float(os.environ.get("TRIREME_ACTIVE_SECONDS", "15"))
SEED = int(os.environ.get("TRIREME_SEED", "1"))
NAMES = ("first", "second", "third")
BETWEEN_EDITS_SECONDS = 0.2
QUIET_SECONDS = 2.0
AT_REST_SECONDS = 5.0
Rng = random.Random


@pytest_asyncio.fixture(loop_scope="session")
async def both(namespace: str, operator_kubeconfig: Path, tmp_path: Path) -> AsyncIterator[list[Operator]]:
    with (
        running_operator(operator_kubeconfig, tmp_path / "one.log", namespaces=namespace) as one,
        running_operator(operator_kubeconfig, tmp_path / "two.log", namespaces=namespace) as two,
    ):
        await one.ready()
        await two.ready()
        yield [one, two]


def manifest(namespace: str, name: str) -> Obj:
    obj = resource()
    obj["metadata"] = {"name": name, "namespace": namespace}
    return obj


async def spec_edit(hands: Hands, namespace: str, name: str, rng: Rng) -> None:
    zones = [
        {"name": zone, "replicas": rng.randint(1, 3), "weight": rng.randint(1, 100)} for zone in ("zone-a", "zone-b")
    ]
    patch = rng.choice([{"zones": zones}, {"engine": {"config": {"maxModelLen": rng.randint(100, 9000)}}}])
    await hands.merge(INFERENCE_CLUSTER, namespace, name, {"spec": patch})


async def child_edit(hands: Hands, namespace: str, name: str, rng: Rng) -> None:
    choices: list[tuple[Kind, str, Obj]] = [
        (LEADER_WORKER_SET, f"{name}-zone-a", {"spec": {"replicas": rng.randint(4, 9)}}),
        (SERVICE, f"{name}-http", {"spec": {"selector": {"trireme.dev/rotation": "out"}}}),
        (HTTP_ROUTE, name, {"spec": {"hostnames": ["elsewhere.example.com"]}}),
    ]
    kind, child, patch = rng.choice(choices)
    await hands.merge(kind, namespace, child, patch)


async def child_loss(hands: Hands, namespace: str, name: str, rng: Rng) -> None:
    kind, child = rng.choice([(SERVICE, f"{name}-zone-b-http"), (HTTP_ROUTE, name)])
    await hands.delete(kind, namespace, child)


EDITS: tuple[Callable[[Hands, str, str, Rng], Awaitable[None]], ...] = (spec_edit, child_edit, child_loss)


async def versions(hands: Hands, namespace: str) -> dict[tuple[str, str], str]:
    """The resourceVersion of everything."""
    kinds = (*CHILD_KINDS, INFERENCE_CLUSTER)
    found = [(kind, obj["metadata"]) for kind in kinds for obj in await hands.api.list(kind, namespace)]
    return {(kind.kind, metadata["name"]): metadata["resourceVersion"] for kind, metadata in found}


async def uids(hands: Hands, namespace: str, kind: Kind) -> dict[str, str]:
    return {obj["metadata"]["name"]: obj["metadata"]["uid"] for obj in await hands.api.list(kind, namespace)}


async def as_asked(hands: Hands, namespace: str) -> bool:
    """Everything stands as the resources ask for it now."""
    for name in NAMES:
        live = await hands.api.get(INFERENCE_CLUSTER, namespace, name)
        zones = {zone["name"]: zone for zone in live["spec"]["zones"]}
        labels = f"trireme.dev/cluster={name}"
        sets = await hands.api.list(LEADER_WORKER_SET, namespace, labels=labels)
        routes = await hands.api.list(HTTP_ROUTE, namespace, labels=labels)
        services = await hands.api.list(SERVICE, namespace, labels=labels)
        wanted = {f"{name}-{zone}": spec["replicas"] for zone, spec in zones.items()}
        good = (
            {obj["metadata"]["name"]: obj["spec"]["replicas"] for obj in sets} == wanted
            and [route["spec"]["hostnames"] for route in routes] == [["llm.example.com"]]
            and len(services) == 3
            and all(service["spec"]["selector"]["trireme.dev/rotation"] == "in" for service in services)
            and (live.get("status") or {}).get("observedGeneration") == live["metadata"]["generation"]
        )
        if not good:
            return False
    return True


@pytest.mark.timeout(SECONDS + 120)
async def test_two_active_operators_do_not_fight(hands: Hands, namespace: str, both: list[Operator]) -> None:
    rng = Rng(SEED)
    for name in NAMES:
        await hands.create(INFERENCE_CLUSTER, manifest(namespace, name))
    await until(lambda: as_asked(hands, namespace))
    sets = await uids(hands, namespace, LEADER_WORKER_SET)

    edits, ends = 0, time.monotonic() + SECONDS
    while time.monotonic() < ends:
        try:
            await rng.choice(EDITS)(hands, namespace, rng.choice(NAMES), rng)
        except (NotFound, Conflict):
            continue  # what was deleted a moment ago is not back yet
        edits += 1
        await asyncio.sleep(BETWEEN_EDITS_SECONDS)
    assert edits > SECONDS / 2

    await until(lambda: as_asked(hands, namespace))
    assert await uids(hands, namespace, LEADER_WORKER_SET) == sets, "groups were never taken away"

    async def settled(seconds: float) -> bool:
        before = await versions(hands, namespace)
        await asyncio.sleep(seconds)
        return await versions(hands, namespace) == before

    await until(lambda: settled(QUIET_SECONDS))
    writes = [await asyncio.to_thread(_writes, each) for each in both]
    assert await settled(AT_REST_SECONDS), "at rest nobody writes"
    assert [await asyncio.to_thread(_writes, each) for each in both] == writes
    assert all(writes), "both worked, or this proves nothing"
    assert sum(writes) < 40 * (edits + len(NAMES)), f"{writes} writes for {edits} edits"


def _writes(operator: Operator) -> float:
    calls = operator.metrics().items()
    told = {name: value for name, value in calls if name.startswith("trireme_api_requests_total")}
    return sum(value for name, value in told.items() if 'verb="PATCH"' in name or 'verb="DELETE"' in name)
