"""What launchers say, from real pods' addresses by the operator's process into the status, and in ``trireme status``.

The launchers are HTTP servers on addresses of this machine that no other test has: for a pod, neither the operator nor
an API server connects to a loopback address. Making them takes CAP_NET_ADMIN, and without it there is nothing to run.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from typer.testing import CliRunner

from e2e.cluster.controlplane import ControlPlane
from tests.integration.server import ROOT, Hands, Operator, until
from tests.integration.test_failures import SET, Scene
from tests.unit.controller_samples import pod
from tests.unit.launchers import document
from trireme_operator.cli.main import app
from trireme_operator.kube import POD, Obj
from trireme_operator.rendering.engine import LAUNCHER_PORT

GB = 1_000_000_000
MADE = "2026-01-01T00:00:00Z"
MEASURED = "11.2 GB/s, and at least 20 are asked for"


@pytest.fixture(scope="module")
def addresses() -> Iterator[list[str]]:
    """Of the network that RFC 2544 sets aside for tests, two on the loopback device."""
    high, low = divmod(os.getpid(), 100)
    made: list[str] = []
    try:
        for number in (1, 2):
            address = f"198.18.{high % 250}.{2 * low + number}"
            done = subprocess.run(
                ["ip", "address", "add", f"{address}/32", "dev", "lo"], capture_output=True, check=False
            )
            if done.returncode:
                pytest.skip(f"an address can't be added: {done.stderr.decode().strip()}")
            made.append(address)
        yield made
    finally:
        for address in made:
            subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=False)


class Group(Scene):
    """A group of two pods whose launchers say what the test tells them to."""

    def __init__(self, hands: Hands, namespace: str, addresses: list[str]) -> None:
        super().__init__(hands, namespace)
        self.addresses = addresses
        self.uids: dict[str, str] = {}
        self.said: dict[str, Obj] = {}
        self.asked = 0

    async def answer(self, request: web.Request) -> web.Response:
        assert request.path == "/statusz"
        assert request.transport is not None
        self.asked += 1
        address = request.transport.get_extra_info("sockname")[0]
        return web.json_response(self.said[address])

    def says(self, worker: int, stage: str, **fields: Any) -> None:
        address = self.addresses[worker]
        self.said[address] = document(self.uids[address], stage, **{"stageSince": MADE, **fields})

    async def run(self) -> None:
        """LeaderWorkerSet makes the pods, and a kubelet says where they run."""
        for worker, address in enumerate(self.addresses):
            found = pod(SET, 0, worker, ready=False, podIP=address, podIPs=[{"ip": address}])
            metadata = found["metadata"]
            metadata["namespace"] = self.namespace
            owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "uid": "none", "controller": True}
            metadata["ownerReferences"] = [{**owner, "name": f"{SET}-0" if worker else SET}]
            found["status"]["phase"] = "Running"
            await self.hands.pod(found)
            live = await self.hands.api.get(POD, self.namespace, metadata["name"])
            self.uids[address] = live["metadata"]["uid"]
            self.says(worker, "Waiting")

    async def stalled(self, stage: str, reason: str) -> bool:
        entry = next(iter((await self.zone()).get("stalled") or [{}]))
        return entry.get("stage") == stage and reason in str(entry.get("reason"))


@pytest_asyncio.fixture(loop_scope="session")
async def group(hands: Hands, namespace: str, addresses: list[str]) -> AsyncIterator[Group]:
    made = Group(hands, namespace, addresses)
    application = web.Application()
    application.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    for address in addresses:
        await web.TCPSite(runner, address, LAUNCHER_PORT).start()
    yield made
    await runner.cleanup()


async def shown(plane: ControlPlane, namespace: str, *arguments: str) -> str:
    """What `trireme status` writes, without the imports of a command."""
    words = ["status", "llm", "--namespace", namespace, "--kubeconfig", str(plane.kubeconfig), *arguments]
    done = await asyncio.to_thread(CliRunner().invoke, app, words)  # it has an event loop of its own
    assert done.exit_code == 0, done.stderr
    return str(done.stdout)


async def shown_by_the_command(plane: ControlPlane, namespace: str) -> str:
    command = [sys.executable, "-m", "trireme_operator.cli.main", "status", "llm", "--namespace", namespace]
    environment = {**os.environ, "KUBECONFIG": str(plane.kubeconfig), "PYTHONPATH": str(ROOT / "operator")}
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


async def test_what_launchers_say_is_in_the_status_and_in_the_tree(
    group: Group, plane: ControlPlane, operator_process: Operator
) -> None:
    await group.create()
    await until(group.exists)
    await group.run()
    await until(partial(group.stalled, "Waiting", ""))

    slow = {"name": "pairwise", "passed": False, "pod": f"{SET}-0", "peer": f"{SET}-0-1", "reason": MEASURED}
    group.says(0, "Preflight", preflight={"mode": "Warn", "passed": False, "checks": [slow]})
    await until(partial(group.stalled, "Preflight", f"pairwise ({SET}-0 -> {SET}-0-1): {MEASURED}"))

    group.says(0, "Fetching", stages=[{"stage": "Fetching", "bytes": 12 * GB, "totalBytes": 40 * GB}])
    await until(partial(group.stalled, "Fetching", ""))
    (entry,) = (await group.zone())["stalled"]
    assert (entry["since"], entry["fetchedBytes"], entry["totalBytes"]) == (MADE, 12 * GB, 40 * GB)

    group.says(0, "Loading", stalled={"since": MADE, "running": 3})
    await until(partial(group.stalled, "Loading", f"requests run and nothing moves since {MADE}"))

    killed = {"reason": "EngineKilled", "message": "by SIGKILL", "pod": f"{SET}-0-1", "rank": 1}
    group.says(0, "Loading", members=[{"index": 1, "state": "Dead", "heartbeatAge": 2.5}])
    group.says(1, "Failed", failure=killed)
    await until(partial(group.stalled, "Loading", f"{SET}-0-1, rank 1: EngineKilled: by SIGKILL"))

    tree = [
        " ".join(line.strip("│├└─ ").split())
        for line in (await shown_by_the_command(plane, group.namespace)).splitlines()
    ]
    assert tree[0].startswith(f"{group.namespace}/llm Ready=False")
    (told,) = [line for line in tree if line.startswith("group 0 Loading")]
    assert told.endswith(f": {SET}-0-1, rank 1: EngineKilled: by SIGKILL")
    assert any("worker 1 is Dead, last heard 2s ago" in line for line in tree)
    assert any(line.startswith(f"{SET}-0-1 ") and "Failed" in line for line in tree)

    found = json.loads(await shown(plane, group.namespace, "-o", "json"))
    leader, worker = found["zones"][0]["groups"][0]["pods"]
    assert (leader["launcher"]["stage"], worker["launcher"]["stage"]) == ("Loading", "Failed")
    assert worker["launcher"]["failure"] == killed
    assert leader["launcher"]["lost"] == [{"index": 1, "state": "Dead", "reason": ""}]


async def test_a_failure_that_is_remembered_is_in_the_tree_when_its_pods_are_gone(
    group: Group, plane: ControlPlane, operator_process: Operator
) -> None:
    await group.create(restarts={"backoffSeconds": 0})
    await until(group.exists)
    await group.run()
    await group.kill()
    await until(partial(group.counts, 1))
    tree = await shown(plane, group.namespace)
    (line,) = [line for line in tree.splitlines() if "group 0" in line and "ago" in line]
    assert f"{SET}-0-1" in line
    assert "worker 1: OOMKilled (exit 137)" in line
    (failure,) = json.loads(await shown(plane, group.namespace, "-o", "json"))["zones"][0]["failures"]
    assert (failure["group"], failure["pod"], failure["count"]) == (0, f"{SET}-0-1", 1)
