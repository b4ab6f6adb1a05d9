"""Server-side apply on a real API server: ownership, idempotence, pruning, status."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.server import LAUNCHER_IMAGE, Hands, condition
from tests.unit.controller_samples import pod, resource
from tests.unit.stores import filled
from trireme_operator.controller.queue import Key
from trireme_operator.controller.reconcile import Reconciler
from trireme_operator.controller.recording import RecordingApi
from trireme_operator.kube import (
    CONTROLLER_REVISION,
    GATEWAY,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    POD_DISRUPTION_BUDGET,
    POD_MONITOR,
    SERVICE,
    SERVICE_ACCOUNT,
    KubernetesApi,
    NotFound,
    Obj,
)
from trireme_operator.rendering import Settings

CHILDREN = (
    LEADER_WORKER_SET,
    SERVICE,
    SERVICE_ACCOUNT,
    CONTROLLER_REVISION,
    POD_DISRUPTION_BUDGET,
    HTTP_ROUTE,
    POD_MONITOR,
)


class Counting(KubernetesApi):
    """The adapter, counting what it writes."""

    writes = 0

    async def _call(self, method: str, *args: Any, **kwargs: Any) -> Obj:
        self.writes += method != "GET"
        return await super()._call(method, *args, **kwargs)


class Bench:
    """A resource in a namespace of its own and a reconciler in this process."""

    def __init__(self, hands: Hands, namespace: str) -> None:
        self.hands = hands
        self.namespace = namespace
        self.api = Counting(hands.api._client)
        self.settings = Settings(launcher_image=LAUNCHER_IMAGE)

    async def reconcile(self) -> int:
        """One reconcile of a process that has just started; returns how often it wrote."""
        self.api.writes = 0
        store = await filled(self.api, namespace=self.namespace)
        api = RecordingApi(self.api, store)
        reconciler = Reconciler(api, store, self.settings, clock=lambda: datetime.now(UTC))
        await reconciler.reconcile(Key(self.namespace, "llm"))
        return self.api.writes

    async def snapshot(self) -> dict[tuple[str, str], str]:
        """The resourceVersion of the resource and each child."""
        found = {}
        for kind in (INFERENCE_CLUSTER, *CHILDREN):
            for obj in await self.api.list(kind, self.namespace):
                found[kind.kind, obj["metadata"]["name"]] = obj["metadata"]["resourceVersion"]
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def bench(hands: Hands, namespace: str) -> Bench:
    obj = resource()
    obj["metadata"] = {"name": "llm", "namespace": namespace}
    await hands.create(INFERENCE_CLUSTER, obj)
    return Bench(hands, namespace)


async def test_the_second_reconcile_writes_nothing_and_nothing_changes(bench: Bench) -> None:
    writes = await bench.reconcile()
    assert writes == 11 + 1 + 1, "eleven children, replicas of the zone that has not the default, one status"
    before = await bench.snapshot()
    assert len(before) == 12
    assert await bench.reconcile() == 0
    assert await bench.snapshot() == before


async def test_each_manager_owns_what_it_applied(bench: Bench) -> None:
    await bench.reconcile()
    live = await bench.api.get(LEADER_WORKER_SET, bench.namespace, "llm-zone-b")
    owned = {entry["manager"]: entry["fieldsV1"]["f:spec"] for entry in live["metadata"]["managedFields"]}
    assert set(owned) == {"trireme", "trireme-replicas"}
    assert set(owned["trireme-replicas"]) == {"f:replicas"}
    assert "f:replicas" not in owned["trireme"]
    assert live["spec"]["replicas"] == 2


async def test_replicas_survive_an_apply_of_the_template(bench: Bench) -> None:
    await bench.reconcile()
    patch = {"spec": {"engine": {"image": "vllm/vllm-openai:other"}}}
    await bench.hands.merge(INFERENCE_CLUSTER, bench.namespace, "llm", patch)
    await bench.reconcile()
    live = await bench.api.get(LEADER_WORKER_SET, bench.namespace, "llm-zone-b")
    assert live["spec"]["replicas"] == 2
    containers = live["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["containers"]
    assert containers[0]["image"] == "vllm/vllm-openai:other"


async def test_a_change_of_the_group_size_is_one_apply_in_place(bench: Bench) -> None:
    await bench.reconcile()
    before = await bench.api.get(LEADER_WORKER_SET, bench.namespace, "llm-zone-a")
    patch = {"spec": {"parallelism": {"pipeline": 4}}}
    await bench.hands.merge(INFERENCE_CLUSTER, bench.namespace, "llm", patch)
    await bench.reconcile()
    after = await bench.api.get(LEADER_WORKER_SET, bench.namespace, "llm-zone-a")
    assert after["spec"]["leaderWorkerTemplate"]["size"] == 4
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_a_list_item_that_is_no_longer_rendered_goes(bench: Bench) -> None:
    annotations = {"service": {"annotations": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]}}
    await bench.hands.merge(INFERENCE_CLUSTER, bench.namespace, "llm", {"spec": annotations})
    await bench.reconcile()
    annotations["service"]["annotations"].pop()
    await bench.hands.merge(INFERENCE_CLUSTER, bench.namespace, "llm", {"spec": annotations})
    await bench.reconcile()
    live = await bench.api.get(SERVICE, bench.namespace, "llm-http")
    assert live["metadata"]["annotations"].get("a") == "1"
    assert "b" not in live["metadata"]["annotations"]


async def test_a_removed_zone_is_pruned_and_objects_of_others_stay(bench: Bench) -> None:
    await bench.reconcile()
    labels = {"trireme.dev/cluster": "llm", "app.kubernetes.io/managed-by": "trireme"}
    theirs = {"name": "theirs", "namespace": bench.namespace, "labels": labels}
    await bench.hands.create(SERVICE, {"metadata": theirs, "spec": {"ports": [{"port": 80}]}})
    spec = (await bench.api.get(INFERENCE_CLUSTER, bench.namespace, "llm"))["spec"]
    await bench.hands.merge(INFERENCE_CLUSTER, bench.namespace, "llm", {"spec": {"zones": spec["zones"][:1]}})
    await bench.reconcile()
    with pytest.raises(NotFound):
        await bench.api.get(LEADER_WORKER_SET, bench.namespace, "llm-zone-b")
    assert {obj["metadata"]["name"] for obj in await bench.api.list(SERVICE, bench.namespace)} == {
        "llm-http",
        "llm-zone-a-http",
        "theirs",
    }
    assert await bench.reconcile() == 0


async def test_a_wiped_status_comes_back_the_same(bench: Bench) -> None:
    await bench.reconcile()
    before = copy.deepcopy((await bench.api.get(INFERENCE_CLUSTER, bench.namespace, "llm"))["status"])
    await bench.hands.merge(INFERENCE_CLUSTER, bench.namespace, "llm", {"status": None}, "status")
    assert await bench.reconcile() == 1
    after = (await bench.api.get(INFERENCE_CLUSTER, bench.namespace, "llm"))["status"]
    for status in (before, after):
        for item in status["conditions"]:
            item.pop("lastTransitionTime")
    assert after == before


async def test_ready_pods_make_a_ready_resource(bench: Bench) -> None:
    await bench.reconcile()
    for zone, index in (("zone-a", 0), ("zone-b", 0), ("zone-b", 1)):
        for worker in (0, 1):
            obj = pod(f"llm-{zone}", index, worker)
            obj["metadata"]["namespace"] = bench.namespace
            await bench.hands.pod(obj)
    told = {"status": "True", "reason": "x", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    parent = {
        "parentRef": {"name": "edge", "namespace": "infra"},
        "controllerName": "example.com/gateway",
        "conditions": [told | {"type": "Accepted"}, told | {"type": "ResolvedRefs"}],
    }
    route = (await bench.api.list(HTTP_ROUTE, bench.namespace))[0]["metadata"]["name"]
    await bench.hands.merge(HTTP_ROUTE, bench.namespace, route, {"status": {"parents": [parent]}}, "status")
    for live in await bench.api.list(LEADER_WORKER_SET, bench.namespace):
        seen = {"status": {"observedGeneration": live["metadata"]["generation"]}}
        await bench.hands.merge(LEADER_WORKER_SET, bench.namespace, live["metadata"]["name"], seen, "status")
    await bench.reconcile()
    assert (await condition(bench.hands, bench.namespace, "Available"))["reason"] == "AllGroupsReady"
    # The gateway of the spec does not exist on this API server, whatever the route says.
    assert (await condition(bench.hands, bench.namespace, "Ready"))["reason"] == "GatewayNotFound"
    assert await bench.reconcile() == 0


async def test_a_gateway_is_believed_when_it_is_up_and_spoke_of_this_route(bench: Bench) -> None:
    here = {"spec": {"gateway": {"parentRefs": [{"name": "edge"}]}}}
    await bench.hands.merge(INFERENCE_CLUSTER, bench.namespace, "llm", here)
    meta = {"name": "edge", "namespace": bench.namespace}
    listeners = [{"name": "web", "port": 80, "protocol": "HTTP"}]
    await bench.hands.create(GATEWAY, {"metadata": meta, "spec": {"gatewayClassName": "test", "listeners": listeners}})
    await bench.reconcile()
    route = (await bench.api.list(HTTP_ROUTE, bench.namespace))[0]["metadata"]
    told: Obj = {"status": "True", "reason": "x", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}

    async def spoken_of(generation: int) -> None:
        conditions = [told | {"type": kind, "observedGeneration": generation} for kind in ("Accepted", "ResolvedRefs")]
        parent = {"parentRef": {"name": "edge"}, "controllerName": "example.com/gateway", "conditions": conditions}
        await bench.hands.merge(HTTP_ROUTE, bench.namespace, route["name"], {"status": {"parents": [parent]}}, "status")

    await spoken_of(route["generation"])
    await bench.reconcile()
    assert (await condition(bench.hands, bench.namespace, "RoutesProgrammed"))["reason"] == "GatewayNotProgrammed"
    up = {"status": {"conditions": [told | {"type": "Programmed"}]}}
    await bench.hands.merge(GATEWAY, bench.namespace, "edge", up, "status")
    await spoken_of(route["generation"] - 1)
    await bench.reconcile()
    assert (await condition(bench.hands, bench.namespace, "RoutesProgrammed"))["reason"] == "RoutePending"
    await spoken_of(route["generation"])
    await bench.reconcile()
    assert (await condition(bench.hands, bench.namespace, "RoutesProgrammed"))["status"] == "True"
