"""Rollouts and drains on a real API server, by operators that are killed in the middle of their writes.

There is no LeaderWorkerSet controller, kubelet or gateway here: a hand does what they would, one round after the other.
Each reconcile is one of a new operator, and most of them are ended after some writes.
"""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.replicas_stage import Killed, Mortal
from tests.integration.server import LAUNCHER_IMAGE, Hands, condition
from tests.unit.controller_samples import pod, resource
from tests.unit.stores import filled
from trireme_operator.api.labels import ANNOTATION_REVISION, ANNOTATION_ROLLING_OUT, FIELD_MANAGER_CLI
from trireme_operator.controller.queue import Key
from trireme_operator.controller.reconcile import Reconciler
from trireme_operator.controller.recording import RecordingApi
from trireme_operator.kube import HTTP_ROUTE, INFERENCE_CLUSTER, LEADER_WORKER_SET, POD, KubeError, NotFound, Obj
from trireme_operator.rendering import Settings

ZONES = ("zone-a", "zone-b", "zone-c")
AT_ONCE = {"dwellSeconds": 0, "returnSeconds": 0}


class Round:
    """The cluster around a resource; `step` is one round of everybody."""

    def __init__(self, hands: Hands, namespace: str, seed: int) -> None:
        self.hands = hands
        self.namespace = namespace
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.made_from: dict[str, str] = {}
        self.ready: dict[str, bool] = {}
        self.broken: set[str] = set()
        self.deaths = 0

    async def create(self) -> None:
        zones = [{"name": name, "replicas": 1, "weight": 50} for name in ZONES]
        obj = resource(zones=zones, failover=AT_ONCE)
        obj["metadata"] = {"name": "llm", "namespace": self.namespace}
        await self.hands.create(INFERENCE_CLUSTER, obj)
        for _ in range(3):
            await self.step(deadly=False)
        assert await self.shares() == [50, 50, 50]

    async def operate(self, *, deadly: bool) -> None:
        """One reconcile of a new operator, which has listed everything."""
        api = Mortal(self.hands.api._client)
        store = await filled(api, namespace=self.namespace)
        settings = Settings(launcher_image=LAUNCHER_IMAGE)
        reconciler = Reconciler(RecordingApi(api, store), store, settings, clock=lambda: self.now)
        api.dies_after = self.chance.randrange(4) if deadly else None
        try:
            await reconciler.reconcile(Key(self.namespace, "llm"))
        except (Killed, BaseExceptionGroup):
            self.deaths += 1

    async def step(self, *, deadly: bool = True) -> None:
        """The operator, then the gateway, then LeaderWorkerSet with its pods; the invariants hold in between."""
        await self.operate(deadly=deadly and self.chance.random() < 0.7)
        await self.take_up_route()
        for zone in ZONES:
            await self.follow(zone)
        self.now += timedelta(seconds=5)

    async def take_up_route(self) -> None:
        try:
            route = await self.hands.api.get(HTTP_ROUTE, self.namespace, "llm")
        except NotFound:
            return
        seen = {"status": "True", "reason": "x", "message": "", "observedGeneration": route["metadata"]["generation"]}
        seen["lastTransitionTime"] = "2026-01-01T00:00:00Z"
        told = [{"type": kind, **seen} for kind in ("Accepted", "ResolvedRefs")]
        parent = {"parentRef": {"name": "edge", "namespace": "infra"}, "controllerName": "a/b", "conditions": told}
        await self.hands.merge(HTTP_ROUTE, self.namespace, "llm", {"status": {"parents": [parent]}}, "status")

    async def follow(self, zone: str) -> None:
        """The zone's group is made again when its template is another one, and is ready a round later."""
        try:
            live = await self.set_of(zone)
        except NotFound:
            return
        revision = live["metadata"]["annotations"][ANNOTATION_REVISION]
        wanted = revision if live["spec"]["replicas"] else None
        if self.made_from.get(zone) != wanted:
            await self.replace(zone, wanted)
        elif wanted is not None and not self.ready[zone] and wanted not in self.broken:
            for worker in range(2):
                await self.tell(zone, worker, ready=True)
            self.ready[zone] = True
        status = {"observedGeneration": live["metadata"]["generation"]}
        await self.hands.merge(LEADER_WORKER_SET, self.namespace, f"llm-{zone}", {"status": status}, "status")

    async def replace(self, zone: str, revision: str | None) -> None:
        for worker in range(2):
            name = f"llm-{zone}-0" + (f"-{worker}" if worker else "")
            if zone in self.made_from:
                live = await self.hands.api.get(POD, self.namespace, name)
                uid = live["metadata"]["uid"]
                await self.hands.api.delete(POD, self.namespace, name, uid=uid, grace_seconds=0)
            if revision is not None:
                made = pod(f"llm-{zone}", 0, worker, ready=False)
                made["metadata"]["namespace"] = self.namespace
                await self.hands.pod(made)
        if revision is None:
            self.made_from.pop(zone, None)
        else:
            self.made_from[zone] = revision
        self.ready[zone] = False

    async def tell(self, zone: str, worker: int, *, ready: bool) -> None:
        told = pod(f"llm-{zone}", 0, worker, ready=ready)
        await self.hands.merge(POD, self.namespace, told["metadata"]["name"], {"status": told["status"]}, "status")

    async def set_of(self, zone: str) -> Obj:
        return await self.hands.api.get(LEADER_WORKER_SET, self.namespace, f"llm-{zone}")

    async def revisions(self) -> list[str]:
        return [(await self.set_of(zone))["metadata"]["annotations"][ANNOTATION_REVISION] for zone in ZONES]

    async def marks(self) -> list[str | None]:
        return [(await self.set_of(zone))["metadata"]["annotations"].get(ANNOTATION_ROLLING_OUT) for zone in ZONES]

    async def shares(self) -> list[int]:
        route = await self.hands.api.get(HTTP_ROUTE, self.namespace, "llm")
        by_name = {ref["name"]: ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]}
        return [by_name[f"llm-{zone}-http"] for zone in ZONES]

    async def out(self) -> int:
        """Zones that take no requests now, or could not."""
        pairs = zip(await self.shares(), ZONES, strict=True)
        return sum(share == 0 or not self.ready[zone] for share, zone in pairs)

    async def edit(self, **spec: Any) -> None:
        await self.hands.merge(INFERENCE_CLUSTER, self.namespace, "llm", {"spec": spec})

    async def zone_status(self, zone: str) -> Obj:
        status = (await self.hands.api.get(INFERENCE_CLUSTER, self.namespace, "llm"))["status"]
        found: Obj = next(each for each in status["zones"] if each["name"] == zone)
        return found


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_rollout_goes_on_whoever_is_killed_and_takes_one_zone_at_a_time(
    hands: Hands, namespace: str, seed: int
) -> None:
    world = Round(hands, namespace, seed)
    await world.create()
    before = (await world.revisions())[0]
    await world.edit(engine={"image": "vllm/vllm-openai:next"})
    orders = []
    for _ in range(120):
        await world.step()
        assert await world.out() <= 1
        revisions = await world.revisions()
        orders.append(tuple(revision == before for revision in revisions))
        if not any(orders[-1]) and await world.marks() == [None] * 3 and await world.out() == 0:
            break
    assert list(dict.fromkeys(orders)) == [
        (True, True, True),
        (False, True, True),
        (False, False, True),
        (False, False, False),
    ]
    assert await world.shares() == [50, 50, 50]
    assert world.deaths > 5, "nobody was killed"
    await world.step(deadly=False)
    assert (await condition(hands, namespace, "Progressing"))["reason"] == "Stable"


async def test_a_version_that_never_gets_ready_stops_in_the_first_zone(hands: Hands, namespace: str) -> None:
    world = Round(hands, namespace, 3)
    await world.create()
    before = (await world.revisions())[0]
    await world.edit(engine={"image": "bad"}, rollout={"progressDeadlineSeconds": 60})
    while (await world.revisions())[0] == before:
        await world.step()
    world.broken.add((await world.revisions())[0])
    for _ in range(15):
        await world.step()
    await world.step(deadly=False)
    assert (await world.revisions())[1:] == [before, before]
    assert await world.shares() == [0, 50, 50]
    stopped = await condition(hands, namespace, "Progressing")
    assert (stopped["status"], stopped["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert "zone zone-a is not whole 60 s after it got the new template" in stopped["message"]
    await world.edit(engine={"image": None})
    for _ in range(20):
        await world.step()
        assert await world.out() <= 1
    for _ in range(4):
        await world.step(deadly=False)
    assert await world.revisions() == [before] * 3
    assert await world.shares() == [50, 50, 50]


async def test_a_zone_is_drained_by_the_annotation_and_comes_back(hands: Hands, namespace: str) -> None:
    world = Round(hands, namespace, 4)
    await world.create()
    key = "drain.trireme.dev/zone-b"
    path = INFERENCE_CLUSTER.path(namespace, "llm")
    drain = [{"op": "add", "path": "/metadata/annotations", "value": {key: "Draining"}}]
    await _patch(hands, path, drain)
    while (await world.set_of("zone-b"))["spec"]["replicas"]:
        assert await world.out() <= 1
        await world.step()
    for _ in range(3):
        await world.step(deadly=False)
    assert await world.shares() == [50, 0, 50]
    assert (await world.zone_status("zone-b"))["drain"] == "Drained"
    spec = resource(zones=[{"name": name, "replicas": 1, "weight": 50} for name in ZONES], failover=AT_ONCE)
    spec["metadata"] = {"name": "llm", "namespace": namespace}
    await hands.api.apply(INFERENCE_CLUSTER, spec, manager="a-sync-from-git")
    assert key in (await hands.api.get(INFERENCE_CLUSTER, namespace, "llm"))["metadata"]["annotations"]
    await _patch(hands, path, [{"op": "remove", "path": f"/metadata/annotations/{key.replace('/', '~1')}"}])
    for _ in range(8):
        await world.step()
    for _ in range(4):
        await world.step(deadly=False)
    assert await world.shares() == [50, 50, 50]
    assert "drain" not in await world.zone_status("zone-b")


async def _patch(hands: Hands, path: str, operations: list[Obj]) -> None:
    body: Any = operations
    query = {"fieldManager": FIELD_MANAGER_CLI}
    kind = "application/json-patch+json"
    try:
        await hands.api._call(
            "PATCH", INFERENCE_CLUSTER, path, query=query, body=body, content_type=kind, is_object=True
        )
    except KubeError as error:
        raise AssertionError(str(error)) from error
