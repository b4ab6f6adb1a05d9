"""A failed group: its first cause is written down before its pods are gone, and the status tells it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.controller_samples import NAMESPACE, pod
from tests.unit.reconcile_world import KEY, World
from tests.unit.stores import filled
from trireme_operator.controller.reconcile import Reconciler
from trireme_operator.controller.recording import RecordingApi
from trireme_operator.controller.store import Store
from trireme_operator.controller.times import timestamp
from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET, POD, ApiError, Obj
from trireme_operator.planning.history import parse

HISTORY = "trireme.dev/history"


class Failing(World):
    """Zone a has one group of two pods, which can fail; an operator that stays watches it."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(**{"zones": [{"name": "zone-a", "replicas": 1}], "gateway": None} | spec)
        self.number = 0
        self.store: Store | None = None

    @property
    def time(self) -> int:
        return int(self.now.timestamp())

    def later(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    def member(self, worker: int, **status: Any) -> Obj:
        found = pod("llm-zone-a", 0, worker, **{"ready": False} | status)
        found["metadata"] |= {"uid": f"uid-{self.number}-{worker}", "creationTimestamp": timestamp(self.time)}
        found["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/template-revision-hash"] = "r1"
        return self.kube.add(POD, found)

    def start(self) -> None:
        """LeaderWorkerSet has made the group (again)."""
        self.number += 1
        for worker in (0, 1):
            self.member(worker)

    def fail(self, *, reason: str = "OOMKilled", code: int = 137, message: str = "") -> Obj:
        """Worker 1 ends now."""
        ended = {"exitCode": code, "reason": reason, "finishedAt": timestamp(self.time), "message": message}
        live = self.kube.one(POD, "llm-zone-a-0-1")
        live["status"]["containerStatuses"] = [{"name": "engine", "state": {"terminated": ended}}]
        live["metadata"]["resourceVersion"] = self.kube._version()
        return live

    async def failed_and_recreated(self) -> None:
        self.fail()
        await self.reconcile()
        self.later(10)
        self.start()
        await self.reconcile()

    @property
    def lws(self) -> Obj:
        return self.kube.one(LEADER_WORKER_SET, "llm-zone-a")

    @property
    def zone(self) -> Any:
        return self.status["zones"][0]


@pytest.fixture
async def world() -> Failing:
    world = Failing()
    await world.reconcile()
    world.observe_groups()
    world.start()
    await world.reconcile()
    world.kube.writes.clear()
    return world


async def test_a_failure_is_written_down_once_and_told_in_the_status(world: Failing) -> None:
    world.fail()
    await world.reconcile()
    assert world.kube.writes == [("apply", "LeaderWorkerSet", "llm-zone-a"), ("status", "InferenceCluster", "llm")]
    (failure,) = parse(world.lws["metadata"]["annotations"][HISTORY]).failures
    assert (failure.cause, failure.epoch) == ("worker 1: OOMKilled (exit 137)", "uid-1-0")
    assert world.zone["failures"] == [
        {
            "group": 0,
            "pod": "llm-zone-a-0-1",
            "cause": "worker 1: OOMKilled (exit 137)",
            "time": timestamp(world.time),
            "count": 1,
            "nextTry": world.zone["failures"][0]["nextTry"],
        }
    ]
    assert await world.writes() == []


async def test_the_cause_outlives_its_pods_and_the_status(world: Failing) -> None:
    await world.failed_and_recreated()
    before = world.zone
    assert before["failures"][0]["cause"] in before["message"]
    assert "failed once within 1800 s" in before["message"]
    assert "raise spec.resources.limits.memory" in before["message"]
    assert world.condition("Progressing")["reason"] == "PodFailing"

    del world.kube.one(INFERENCE_CLUSTER, "llm")["status"]
    await world.reconcile()
    assert world.zone == before
    assert await world.writes() == []


async def test_the_launchers_words_reach_the_status(world: Failing) -> None:
    told = {"reason": "EngineExited", "exitCode": 3, "message": "the engine ended", "log": ["ValueError: x"]}
    world.fail(reason="Error", code=1, message=json.dumps(told))
    await world.reconcile()
    (failure,) = world.zone["failures"]
    assert (failure["cause"], failure["message"]) == ("worker 1: EngineExited (exit 3)", "the engine ended")
    assert failure["log"] == ["ValueError: x"]
    world.start()
    await world.reconcile()
    assert "worker 1: EngineExited (exit 3): the engine ended; last lines: ValueError: x" in world.zone["message"]


async def test_a_group_that_is_ready_again_has_nothing_in_its_way(world: Failing) -> None:
    await world.failed_and_recreated()
    for worker in (0, 1):
        world.kube.one(POD, f"llm-zone-a-0-{worker}" if worker else "llm-zone-a-0")["status"]["conditions"] = [
            {"type": "Ready", "status": "True"}
        ]
    await world.reconcile()
    assert (world.zone["readyGroups"], world.zone.get("message")) == (1, None)
    assert world.zone["failures"][0]["cause"] == "worker 1: OOMKilled (exit 137)", "but it is not forgotten"


async def test_after_the_limit_the_group_is_held_if_its_launchers_ask() -> None:
    world = Failing(restarts={"limit": 2, "windowSeconds": 600, "backoffSeconds": 1})
    await world.reconcile()
    world.observe_groups()
    world.start()
    first = world.time
    await world.failed_and_recreated()
    await world.failed_and_recreated()
    assert world.condition("Progressing")["reason"] == "PodFailing", "launchers of an older template don't ask"

    containers = world.lws["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]["containers"]
    containers[0]["env"].append({"name": "TRIREME_PERMIT_URL", "value": "http://permit:8002"})
    again = await world.reconcile()
    assert world.condition("Progressing")["reason"] == "Held"
    message = world.zone["message"]
    assert f"held after 2 failures within 600 s, next try at {timestamp(first + 600)}" in message
    assert "worker 1: OOMKilled (exit 137)" in message
    assert world.zone["failures"][0]["nextTry"] == timestamp(first + 600)
    assert again is not None
    assert again <= 450

    world.later(600 - 20 + 1)
    await world.reconcile()
    assert world.condition("Progressing")["reason"] == "PodFailing", "the window let it go"
    assert "nextTry" not in world.zone["failures"][0]
    world.later(600)
    await world.reconcile()
    assert world.condition("Progressing")["reason"] == "Starting", "a good while later nothing is held against it"


async def test_the_next_look_comes_when_the_group_may_start(world: Failing) -> None:
    world.fail()
    again = await world.reconcile()
    assert again is not None
    assert 10 <= again <= 14


async def test_a_spoilt_annotation_is_begun_anew(world: Failing) -> None:
    world.lws["metadata"].setdefault("annotations", {})[HISTORY] = "not JSON"
    assert await world.writes() == []
    world.fail()
    await world.reconcile()
    assert len(parse(world.lws["metadata"]["annotations"][HISTORY]).failures) == 1


async def test_a_pod_that_is_gone_before_anybody_looked_is_still_told(world: Failing) -> None:
    store = await filled(world.kube)
    api = RecordingApi(world.kube, store)
    reconciler = Reconciler(api, store, world.settings, clock=lambda: world.now)
    last = world.fail()
    for worker, live in enumerate((world.kube.one(POD, "llm-zone-a-0"), last)):
        del world.kube.objects[POD, NAMESPACE, live["metadata"]["name"]]
        store.see(POD, "DELETED", live | {"metadata": live["metadata"] | {"resourceVersion": str(900 + worker)}})
    assert len(store.children(KEY).gone) == 2
    await reconciler.reconcile(KEY)
    (failure,) = world.zone["failures"]
    assert failure["cause"] == "worker 1: OOMKilled (exit 137)"
    assert parse(world.lws["metadata"]["annotations"][HISTORY]).failures[0].epoch == "uid-1-0"
    assert store.children(KEY).gone == (), "what is written down needs no memory"


async def test_what_could_not_be_written_is_kept_for_the_next_time(world: Failing) -> None:
    store = await filled(world.kube)
    reconciler = Reconciler(RecordingApi(world.kube, store), store, world.settings, clock=lambda: world.now)
    last = world.fail()
    del world.kube.objects[POD, NAMESPACE, last["metadata"]["name"]]
    store.see(POD, "DELETED", last | {"metadata": last["metadata"] | {"resourceVersion": "900"}})
    world.kube.fail = lambda verb, kind, _: (
        ApiError("no", status=500) if (verb, kind) == ("apply", LEADER_WORKER_SET) else None
    )
    with pytest.raises(ExceptionGroup):
        await reconciler.reconcile(KEY)
    world.kube.fail = lambda *_: None
    await reconciler.reconcile(KEY)
    assert world.zone["failures"][0]["cause"] == "worker 1: OOMKilled (exit 137)"


async def test_pods_that_end_well_are_not_remembered(world: Failing) -> None:
    store = await filled(world.kube)
    live = world.kube.one(POD, "llm-zone-a-0-1")
    store.see(POD, "DELETED", live | {"metadata": live["metadata"] | {"resourceVersion": "900"}})
    assert store.children(KEY).gone == ()


async def test_more_groups_than_there_is_room_for_come_to_rest() -> None:
    world = Failing(zones=[{"name": "zone-a", "replicas": 200}])
    await world.reconcile()
    for group in range(200):
        found = pod("llm-zone-a", group, 0, ready=False)
        ended = {"exitCode": 1, "finishedAt": timestamp(world.time - group), "message": "x" * 300}
        found["status"]["containerStatuses"] = [{"name": "engine", "state": {"terminated": ended}}]
        world.kube.add(POD, found)
    world.observe_groups()
    await world.reconcile()
    assert len(world.lws["metadata"]["annotations"][HISTORY]) <= 4096
    assert len(parse(world.lws["metadata"]["annotations"][HISTORY]).groups) > 40
    assert await world.writes() == []


async def test_many_pods_that_failed_take_a_bounded_room(world: Failing) -> None:
    store = await filled(world.kube)
    last = world.fail()
    for number in range(1100):
        metadata = last["metadata"] | {"uid": f"u{number}", "resourceVersion": str(1000 + number)}
        store.see(POD, "DELETED", last | {"metadata": metadata})
    assert len(store.children(KEY).gone) == 1024


async def test_while_a_group_loads_again_the_status_says_why_it_had_to(world: Failing) -> None:
    await world.failed_and_recreated()
    world.hear("llm-zone-a-0", "Loading", reason="the engine does not answer yet")
    await world.reconcile()
    (entry,) = world.zone["stalled"]
    assert entry["stage"] == "Loading"
    assert entry["reason"].startswith("worker 1: OOMKilled (exit 137)")
