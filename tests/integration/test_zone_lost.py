"""A zone that falls silent, by the operator's process on a real API server: out in seconds, proven, and back.

The launchers are HTTP servers on addresses of this machine that no other test has: for a pod, neither the operator nor
an API server connects to a loopback address. Making them takes CAP_NET_ADMIN, and without it there is nothing to run.
The endpoints stay ready all the time, as they would for 50 s.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.integration.server import Hands, Operator, until
from tests.unit.controller_samples import pod, resource
from tests.unit.launchers import document
from trireme_operator.kube import HTTP_ROUTE, INFERENCE_CLUSTER, LEADER_WORKER_SET, POD, NotFound, Obj
from trireme_operator.rendering.engine import LAUNCHER_PORT

ZONES = ("zone-a", "zone-b")
LOST_SECONDS = 5.0
FAILOVER = {"dwellSeconds": 1, "returnSeconds": 0}


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    """Of the network that RFC 2544 sets aside for tests, one for each zone on the loopback device."""
    high, low = divmod(os.getpid(), 100)
    made: dict[str, str] = {}
    try:
        for number, zone in enumerate(ZONES, 1):
            address = f"198.19.{high % 250}.{2 * low + number}"
            done = subprocess.run(
                ["ip", "address", "add", f"{address}/32", "dev", "lo"], capture_output=True, check=False
            )
            if done.returncode:
                pytest.skip(f"an address can't be added: {done.stderr.decode().strip()}")
            made[zone] = address
        yield made
    finally:
        for address in made.values():
            subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=False)


class Zones:
    """Two zones with a group of one pod each, whose launchers a test can cut off."""

    def __init__(self, hands: Hands, namespace: str, addresses: dict[str, str]) -> None:
        self.hands = hands
        self.namespace = namespace
        self.addresses = addresses
        self.uids: dict[str, str] = {}
        self.cut: set[str] = set()
        self.asked: dict[str, int] = dict.fromkeys(addresses.values(), 0)
        self.requests: dict[str, int] = {}
        self.proof: bool | None = None
        self.question = ""

    async def answer(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        address = request.transport.get_extra_info("sockname")[0]
        if address in self.cut:
            await asyncio.sleep(3600)
        self.asked[address] += 1
        self.question = request.query.get("canary", "") or self.question
        if address not in self.uids:
            return web.Response(status=503)
        said = {"question": self.question, "passed": self.proof, "reason": ""}
        engine = {"pid": 17, "running": True, "healthy": True, "requests": self.requests.get(address, 0)}
        return web.json_response(document(self.uids[address], serviceCanary=said, engine=engine))

    async def create(self, **spec: Any) -> None:
        zones = [{"name": "zone-a", "replicas": 1, "weight": 60}, {"name": "zone-b", "replicas": 1, "weight": 40}]
        obj = resource(zones=zones, parallelism={"tensor": 1, "pipeline": 1}, failover=FAILOVER, **spec)
        obj["metadata"] = {"name": "llm", "namespace": self.namespace}
        await self.hands.create(INFERENCE_CLUSTER, obj)
        for zone, address in self.addresses.items():
            await until(partial(self._exists, zone))
            found = pod(f"llm-{zone}", 0, 0, podIP=address, podIPs=[{"ip": address}], phase="Running")
            metadata = found["metadata"]
            metadata["namespace"] = self.namespace
            metadata["annotations"] = {"leaderworkerset.sigs.k8s.io/size": "1"}
            metadata["labels"] |= {"trireme.dev/rotation": "in", "trireme.dev/zone": zone}
            owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "uid": "none", "controller": True}
            metadata["ownerReferences"] = [{**owner, "name": f"llm-{zone}"}]
            found["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:00:00Z"
            await self.hands.pod(found)
            live = await self.hands.api.get(POD, self.namespace, metadata["name"])
            self.uids[address] = live["metadata"]["uid"]
        await until(lambda: self._told("Healthy", "Healthy"))
        await until(self._heard)

    async def _exists(self, zone: str) -> bool:
        try:
            await self.hands.api.get(LEADER_WORKER_SET, self.namespace, f"llm-{zone}")
        except NotFound:
            return False
        return True

    async def _heard(self) -> bool:
        return all(count >= 2 for count in self.asked.values())

    async def questioned(self) -> bool:
        """Whether a launcher was asked for a completion through its zone's Service."""
        return bool(self.question)

    async def route(self) -> Obj:
        return await self.hands.api.get(HTTP_ROUTE, self.namespace, "llm")

    async def versions(self) -> list[str]:
        """Of the route and of the resource: each changes with a write."""
        found = (await self.route(), await self.hands.api.get(INFERENCE_CLUSTER, self.namespace, "llm"))
        return [obj["metadata"]["resourceVersion"] for obj in found]

    async def weights(self) -> list[int]:
        return [ref["weight"] for ref in (await self.route())["spec"]["rules"][0]["backendRefs"]]

    async def weigh(self, *wanted: int) -> bool:
        return await self.weights() == list(wanted)

    async def _told(self, *reasons: str) -> bool:
        status = (await self.hands.api.get(INFERENCE_CLUSTER, self.namespace, "llm")).get("status") or {}
        return [zone.get("weightReason") for zone in status.get("zones") or []] == list(reasons)

    def told(self, *reasons: str) -> Callable[[], Awaitable[bool]]:
        return lambda: self._told(*reasons)


@pytest_asyncio.fixture(loop_scope="session")
async def zones(
    hands: Hands, namespace: str, addresses: dict[str, str], operator_process: Operator
) -> AsyncIterator[Zones]:
    made = Zones(hands, namespace, addresses)
    application = web.Application()
    application.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    for address in addresses.values():
        await web.TCPSite(runner, address, LAUNCHER_PORT).start()
    await made.create()
    yield made
    for zone in addresses:
        await hands.delete(POD, namespace, f"llm-{zone}-0")  # else the operator asks them at the next test's addresses
    await runner.cleanup()


async def test_a_silent_zone_is_out_within_seconds_and_back_after_a_completion(zones: Zones) -> None:
    assert await zones.weights() == [60, 40]
    zones.cut.add(zones.addresses["zone-b"])
    assert await until(lambda: zones.weigh(60, 0), seconds=LOST_SECONDS) < LOST_SECONDS
    await until(zones.told("Healthy", "Silent"))

    zones.cut.clear()
    await until(zones.told("Healthy", "Returning"))
    await until(zones.questioned)
    await asyncio.sleep(2)
    assert await zones.weights() == [60, 0], "nobody has proven it yet"
    zones.proof = False
    await until(zones.told("Healthy", "CanaryFailed"))
    zones.proof = True
    await until(lambda: zones.weigh(60, 40))
    await until(zones.told("Healthy", "Healthy"))
    assert "trireme.dev/traffic" not in (await zones.route())["metadata"]["annotations"]


async def test_nothing_is_moved_when_the_operator_hears_nobody(zones: Zones) -> None:
    before = (await zones.route())["metadata"]["resourceVersion"]
    zones.cut.update(zones.addresses.values())
    await until(zones.told("FailStatic", "FailStatic"))
    await asyncio.sleep(3)
    assert (await zones.route())["metadata"]["resourceVersion"] == before
    zones.cut.clear()
    await until(zones.told("Healthy", "Healthy"))
    assert (await zones.route())["metadata"]["resourceVersion"] == before, "and nothing is written for it"


async def test_a_zone_with_a_longer_queue_gets_less_and_then_its_share_back(zones: Zones) -> None:
    zones.requests[zones.addresses["zone-b"]] = 12
    balancing = {"acrossZones": "QueueLength", "intervalSeconds": 5}
    await zones.hands.merge(INFERENCE_CLUSTER, zones.namespace, "llm", {"spec": {"gateway": {"balancing": balancing}}})
    await until(lambda: zones.weigh(60, 36), seconds=30)
    await until(zones.told("Healthy", "Balanced"))
    before = await zones.versions()
    await asyncio.sleep(11)
    assert await zones.versions() == before, "at rest nothing is written"

    zones.requests.clear()
    await until(lambda: zones.weigh(60, 40), seconds=60)
    await until(zones.told("Healthy", "Healthy"))
