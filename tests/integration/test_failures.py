"""Groups that fail, on a real API server: what is remembered, who owns it, what launchers are told, and lost nodes.

There is no kubelet and no LeaderWorkerSet here: hands play both.
"""

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.server import LAUNCHER_IMAGE, Hands, Operator, condition, running_operator, until
from tests.unit.controller_samples import pod, resource
from tests.unit.stores import filled
from trireme_operator.controller.queue import Key
from trireme_operator.controller.reconcile import Reconciler
from trireme_operator.controller.recording import RecordingApi
from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET, POD, Conflict, KubernetesApi, NotFound, Obj
from trireme_operator.planning.history import parse
from trireme_operator.rendering import Settings

SET = "llm-zone-a"
SYSTEM = "trireme-system"
HISTORY = "trireme.dev/history"
OOM = "worker 1: OOMKilled (exit 137)"


class Scene:
    """A resource with one group of two pods, in a namespace of its own."""

    def __init__(self, hands: Hands, namespace: str) -> None:
        self.hands = hands
        self.namespace = namespace

    async def create(self, **spec: Any) -> None:
        obj = resource(zones=[{"name": "zone-a", "replicas": 1}], gateway=None, **spec)
        obj["metadata"] = {"name": "llm", "namespace": self.namespace}
        await self.hands.create(INFERENCE_CLUSTER, obj)

    async def start(self, **extra: Any) -> None:
        """LeaderWorkerSet makes the pods of the group."""
        for worker in (0, 1):
            found = pod(SET, 0, worker, ready=False)
            found["metadata"]["namespace"] = self.namespace
            if extra:
                spec = {"containers": [{"name": "engine", "image": "x"}], "serviceAccountName": "llm-engine", **extra}
                await self.hands.create(POD, {"metadata": found["metadata"], "spec": spec})
                await self.hands.merge(
                    POD, self.namespace, found["metadata"]["name"], {"status": found["status"]}, "status"
                )
            else:
                await self.hands.pod(found)

    async def kill(self, *, reason: str = "OOMKilled") -> None:
        """Worker 1 ends, and LeaderWorkerSet deletes the group at once: who begins to watch later can't know of it."""
        await until(self.is_seen)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ended = {"exitCode": 137, "reason": reason, "startedAt": now, "finishedAt": now}
        image = {"image": "x", "imageID": "x", "ready": False, "restartCount": 1}
        status = {"containerStatuses": [{"name": "engine", "state": {"terminated": ended}, **image}]}
        await self.hands.merge(POD, self.namespace, f"{SET}-0-1", {"status": status}, "status")
        for name in (f"{SET}-0", f"{SET}-0-1"):
            await self.hands.delete(POD, self.namespace, name)

    async def live(self) -> Obj:
        return await self.hands.api.get(LEADER_WORKER_SET, self.namespace, SET)

    async def exists(self) -> bool:
        try:
            await self.live()
        except NotFound:
            return False
        return True

    async def zone(self) -> Obj:
        status = (await self.hands.api.get(INFERENCE_CLUSTER, self.namespace, "llm")).get("status") or {}
        found: Obj = next(iter(status.get("zones") or [{}]))
        return found

    async def is_seen(self) -> bool:
        """Whether the operator knows of the group's pods: it tells how far they have come."""
        return bool((await self.zone()).get("stalled"))

    async def counts(self, number: int) -> bool:
        failures = (await self.zone()).get("failures") or [{}]
        return bool(failures[0].get("count") == number)


@pytest.fixture
def scene(hands: Hands, namespace: str) -> Scene:
    return Scene(hands, namespace)


async def test_the_first_cause_outlives_its_pods_its_status_and_an_edit(
    scene: Scene, operator_process: Operator
) -> None:
    await scene.create(restarts={"backoffSeconds": 0})
    await until(scene.exists)
    await scene.start()
    await scene.kill()
    await until(partial(scene.counts, 1))
    zone = await scene.zone()
    assert zone["failures"][0]["cause"] == OOM
    assert zone["failures"][0]["pod"] == f"{SET}-0-1"

    live = await scene.live()
    owners = {
        item["manager"]
        for item in live["metadata"]["managedFields"]
        if f"f:{HISTORY}" in json.dumps(item.get("fieldsV1"))
    }
    assert owners == {"trireme-history"}
    (failure,) = parse(live["metadata"]["annotations"][HISTORY]).failures
    assert failure.cause == OOM

    # The template is applied again, and the status is wiped: both leave the memory as it is.
    await scene.hands.merge(INFERENCE_CLUSTER, scene.namespace, "llm", {"spec": {"parallelism": {"pipeline": 4}}})

    async def applied() -> bool:
        return bool((await scene.live())["spec"]["leaderWorkerTemplate"]["size"] == 4)

    await until(applied)
    assert (await scene.live())["metadata"]["annotations"][HISTORY] == live["metadata"]["annotations"][HISTORY]
    await scene.hands.merge(INFERENCE_CLUSTER, scene.namespace, "llm", {"status": None}, "status")
    await until(partial(scene.counts, 1))
    assert (await scene.zone())["failures"] == zone["failures"]

    await scene.start()
    await asyncio.sleep(1.1)  # kubelets tell whole seconds
    await scene.kill()
    await until(partial(scene.counts, 2))


async def test_every_operator_tells_launchers_the_same_also_one_that_stands_by(
    scene: Scene, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    with contextlib.suppress(Conflict):  # another test may have made it
        await scene.hands.namespace(SYSTEM)
    await scene.hands.allow_operator()
    lease = f"{SYSTEM}/trireme"
    path = f"/v1/permit/{scene.namespace}/{SET}/0"
    serve = partial(running_operator, operator_kubeconfig, namespaces=scene.namespace, lease=lease)
    await scene.create(restarts={"limit": 1, "windowSeconds": 600})
    with serve(tmp_path / "one.log") as first, serve(tmp_path / "two.log") as second:
        for operator in (first, second):
            await operator.ready()
        await until(scene.exists)

        async def told(operator: Operator, *, start: bool) -> bool:
            answer = await asyncio.to_thread(operator.get, "TRIREME_PERMIT_PORT", path)
            return answer is not None and json.loads(answer)["start"] is start

        for operator in (first, second):
            await until(partial(told, operator, start=True))
        await scene.start()
        await scene.kill()
        answers = []
        for operator in (first, second):
            await until(partial(told, operator, start=False))
            answers.append(json.loads(operator.get("TRIREME_PERMIT_PORT", path) or ""))
        assert answers[0] == answers[1]
        assert (answers[0]["failures"], answers[0]["cause"]) == (1, OOM)
        # Raising the limit lets the group go.
        await scene.hands.merge(
            INFERENCE_CLUSTER, scene.namespace, "llm", {"spec": {"restarts": {"limit": 0, "backoffSeconds": 0}}}
        )
        for operator in (first, second):
            await until(partial(told, operator, start=True))


async def test_a_pod_of_a_lost_node_is_told_and_deleted_by_force(scene: Scene) -> None:
    """By an operator without a process, whose clock can be put forward."""
    api = KubernetesApi(scene.hands.api._client)
    ahead = timedelta()

    async def reconcile() -> None:
        store = await filled(api, namespace=scene.namespace)
        reconciler = Reconciler(
            RecordingApi(api, store),
            store,
            Settings(launcher_image=LAUNCHER_IMAGE),
            clock=lambda: datetime.now(UTC) + ahead,
        )
        await reconciler.reconcile(Key(scene.namespace, "llm"))

    async def pods() -> set[str]:
        return {item["metadata"]["name"] for item in await api.list(POD, scene.namespace)}

    await scene.create(failover={"replaceLostPods": "Force"})
    await reconcile()
    await scene.start(nodeName="node-7")
    running = {"name": "engine", "image": "x", "imageID": "x", "ready": True, "restartCount": 0}
    conditions = [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "True"}]
    status = {"conditions": conditions, "containerStatuses": [{**running, "state": {"running": {}}}]}
    await scene.hands.merge(POD, scene.namespace, f"{SET}-0-1", {"status": status}, "status")
    await scene.hands.delete(POD, scene.namespace, f"{SET}-0-1")
    ahead = timedelta(seconds=30 + 11)

    async def told() -> bool:
        await reconcile()
        progressing = await condition(scene.hands, scene.namespace, "Progressing")
        return progressing["reason"] == "NodeLost" and "node-7" in progressing["message"]

    await until(told, seconds=15)
    assert f"{SET}-0-1" in await pods(), "nobody ends it"
    ahead = timedelta(seconds=30 + 61)
    await reconcile()
    assert await pods() == {f"{SET}-0"}
