"""An API server with its etcd, the definitions, and one user for each part that is measured."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import scenario
from bench.audit import POLICY
from bench.board import Board, Complete, told, watching, within
from bench.client import Client, connected
from e2e.cluster.controlplane import ControlPlane
from tests.integration.definitions import gateway_crds, lws_crds, our_crds
from tests.integration.server import connected as hands_connected
from trireme_operator.api.labels import LABEL_CLUSTER
from trireme_operator.kube import GATEWAY, HTTP_ROUTE, INFERENCE_CLUSTER, LEADER_WORKER_SET, Kind, Obj

OURS, BARE, NAIVE = "ours", "bare", "kopf"
"""Namespaces of the same length, so that all write the same number of bytes."""
BARE_USER, NAIVE_USER = "trireme-bare", "trireme-kopf"
_LIKE_PODS = "system:serviceaccounts"
"""The group of pods' users: the API server's flow control then treats all as it treats an operator in a cluster."""
_NAMESPACE = Kind("", "v1", "namespaces", "Namespace")
_AT_ONCE = 32


@dataclass(frozen=True)
class Stage:
    """What every measurement gets."""

    plane: ControlPlane
    folder: Path
    client: Client
    board: Board

    def user(self, name: str) -> Path:
        """The kubeconfig of a user."""
        return self.plane.client(name, common_name=name, organization=_LIKE_PODS)

    @property
    def operator_log(self) -> Path:
        return self.folder / "operator.log"

    async def namespaces(self, names: Iterable[str]) -> None:
        for name in names:
            await self.client.create(_NAMESPACE, {"metadata": {"name": name}})

    async def create(self, namespace: str, name: str) -> Obj:
        """Create the resource of the scenario; returns it as it was stored."""
        return await self.client.create(INFERENCE_CLUSTER, scenario.resource(namespace, name))

    async def completed(self, namespace: str, name: str) -> Obj:
        """Create a resource and wait until the operator is done with it."""
        complete = self.board.when(namespace, name, Complete())
        status = self.board.when(namespace, name, told)
        stored = await self.create(namespace, name)
        await within(complete, what=f"children of {namespace}/{name}")
        await within(status, what=f"status of {namespace}/{name}")
        return stored

    async def take_route(self, namespace: str, name: str) -> None:
        """Do the gateway's part: without it the operator looks again at the resource every 15 seconds."""
        await self.client.merge(HTTP_ROUTE.path(namespace, name, "status"), scenario.taken_route())

    async def take_groups(self, namespace: str, name: str) -> None:
        """Do the part of LeaderWorkerSet's controller: say that it has seen each set as it is now."""
        found = await self.client.get(f"{LEADER_WORKER_SET.path(namespace)}?labelSelector={LABEL_CLUSTER}%3D{name}")
        for item in found["items"]:
            path = LEADER_WORKER_SET.path(namespace, item["metadata"]["name"], "status")
            await self.client.merge(path, {"status": {"observedGeneration": item["metadata"]["generation"]}})


async def at_once(jobs: Iterable[Coroutine[Any, Any, object]], *, parallel: int = _AT_ONCE) -> None:
    """Run all, at most ``parallel`` at a time."""
    slots = asyncio.Semaphore(parallel)

    async def run(job: Coroutine[Any, Any, object]) -> None:
        async with slots:
            await job

    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(run(job))


@asynccontextmanager
async def staged(*, audited: bool = False) -> AsyncIterator[Stage]:
    """Start everything but an operator; nothing is left of it afterwards."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trireme-bench-")))
        policy = folder / "audit-policy.json"
        policy.write_text(json.dumps(POLICY))
        plane = ControlPlane(
            folder / "plane", name="trireme-bench", durable=True, audit_policy=policy if audited else None
        )
        stack.callback(plane.stop)
        await asyncio.to_thread(plane.start)
        await _prepare(plane)
        client = await stack.enter_async_context(connected(plane.kubeconfig))
        board = await stack.enter_async_context(watching(client))
        stage = Stage(plane, folder, client, board)
        await stage.namespaces([OURS, BARE, NAIVE, scenario.EDGE_NAMESPACE])
        await client.create(GATEWAY, scenario.gateway())
        gateway = GATEWAY.path(scenario.EDGE_NAMESPACE, scenario.EDGE, "status")
        await client.merge(gateway, scenario.programmed_gateway())
        yield stage


async def _prepare(plane: ControlPlane) -> None:
    async with hands_connected(plane.kubeconfig) as hands:
        await hands.install([*our_crds(), *lws_crds(), *gateway_crds()])
        await hands.served(INFERENCE_CLUSTER, LEADER_WORKER_SET, HTTP_ROUTE, GATEWAY)
        await hands.allow_operator()
    for user in (BARE_USER, NAIVE_USER):
        words = ("create", "clusterrolebinding", user, "--clusterrole=cluster-admin", f"--user={user}")
        await asyncio.to_thread(plane.kubectl, *words)
