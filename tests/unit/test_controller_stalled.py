"""What the status says of groups that are not ready: from pods, from launchers, and while nobody was heard yet."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.controller_samples import NAMESPACE, pod
from tests.unit.reconcile_world import World
from trireme_operator.collector import Failure, Held
from trireme_operator.controller.queue import Key
from trireme_operator.controller.store import KINDS, Store, Stream
from trireme_operator.kube import LEADER_WORKER_SET, POD, Obj

MADE = "2026-01-01T00:00:00Z"
LEADER, WORKER = "llm-zone-a-0", "llm-zone-a-0-1"


def add(world: World, worker: int = 0, *, made: str = MADE, **status: Any) -> Obj:
    found = pod("llm-zone-a", 0, worker, ready=False, **status)
    found["metadata"]["creationTimestamp"] = made
    return world.kube.add(POD, found)


async def group(world: World) -> None:
    """Both pods run, and neither is ready."""
    await world.reconcile()
    add(world)
    add(world, 1)


def entries(world: World, zone: int = 0) -> Any:
    return world.status["zones"][zone].get("stalled")


async def test_a_group_without_pods_starts_since_nobody_knows_when(world: World) -> None:
    await world.reconcile()
    assert [entry["group"] for entry in entries(world, 1)] == [0, 1]
    assert entries(world)[0]["stage"] == "Starting"
    assert "since" not in entries(world)[0]
    assert "the leader's pod does not exist yet" in entries(world)[0]["reason"]


async def test_a_group_whose_launchers_were_not_heard_starts_since_its_leader_was_made(world: World) -> None:
    await group(world)
    await world.reconcile()
    assert entries(world) == [
        {"group": 0, "stage": "Starting", "since": MADE, "reason": f"pod {LEADER} runs and does not answer yet"}
    ]


async def test_the_leaders_launcher_tells_stage_time_and_reason(world: World) -> None:
    await group(world)
    world.hear(LEADER, "Loading", reason="the engine does not answer yet")
    world.hear(WORKER, "Waiting", reason="something else")
    await world.reconcile()
    assert entries(world) == [
        {"group": 0, "stage": "Loading", "since": "2026-01-01T00:05:00Z", "reason": "the engine does not answer yet"}
    ]


async def test_the_same_again_is_no_write(world: World) -> None:
    await group(world)
    world.hear(LEADER, "Loading", reason="the engine does not answer yet")
    await world.reconcile()
    assert await world.writes() == []


async def test_an_operator_that_has_just_started_says_what_was_said_before(world: World) -> None:
    await group(world)
    world.hear(LEADER, "Loading", reason="the engine does not answer yet")
    await world.reconcile()
    world.heard.clear()
    assert await world.writes() == []
    assert entries(world)[0]["stage"] == "Loading"


async def test_how_much_of_a_model_has_arrived_is_said_and_stays_while_nobody_is_heard(world: World) -> None:
    await group(world)
    world.hear(LEADER, "Fetching", reason="the model arrives", done=3_000, total=4_000)
    await world.reconcile()
    (entry,) = entries(world)
    assert (entry["stage"], entry["fetchedBytes"], entry["totalBytes"]) == ("Fetching", 3_000, 4_000)
    world.heard.clear()
    assert await world.writes() == []


async def test_what_was_said_of_an_earlier_pod_of_the_same_name_is_not_said_of_the_next(world: World) -> None:
    await group(world)
    world.hear(LEADER, "Loading")
    await world.reconcile()
    add(world, made="2026-01-01T00:06:00Z")
    await world.reconcile()
    assert entries(world)[0]["stage"] == "Starting"


async def test_what_the_pods_said_before_does_not_stay_when_the_pods_say_something_else(world: World) -> None:
    await world.reconcile()
    image = {"name": "engine", "image": "x", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    add(world, containerStatuses=[image])
    add(world, 1)
    await world.reconcile()
    assert (entries(world)[0]["stage"], entries(world)[0]["since"]) == ("Pending", MADE)
    add(world)
    await world.reconcile()
    assert entries(world)[0]["stage"] == "Starting"


async def test_a_container_that_ended_counts_more_than_any_launcher(world: World) -> None:
    await world.reconcile()
    add(world)
    killed = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:07:00Z"}
    add(world, 1, containerStatuses=[{"name": "engine", "state": {"terminated": killed}}])
    world.hear(LEADER, "Loading", failure=Failure("EngineKilled", "killed", LEADER, 0))
    await world.reconcile()
    entry = entries(world)[0]
    assert (entry["stage"], entry["since"]) == ("Failed", "2026-01-01T00:07:00Z")
    assert "OOMKilled" in entry["reason"]


async def test_a_pod_that_is_ending_has_no_time(world: World) -> None:
    await group(world)
    world.kube.one(POD, WORKER)["metadata"]["deletionTimestamp"] = "2026-01-01T01:00:00Z"
    world.hear(LEADER, "Draining")
    await world.reconcile()
    assert entries(world)[0]["stage"] == "Ending"
    assert "since" not in entries(world)[0]


@pytest.mark.parametrize(
    ("leader", "worker", "reason"),
    [
        pytest.param(
            {"reason": "worker 1 is Failed", "failed_checks": ()},
            {"failure": Failure("EngineKilled", "signal 9", WORKER, 1)},
            f"{WORKER}, rank 1: EngineKilled: signal 9",
            id="the first cause of a worker",
        ),
        pytest.param(
            {"held": Held("2026-01-01T00:20:00Z", 5, "EngineKilled: signal 9")},
            {},
            "held after 5 failures, the next try is at 2026-01-01T00:20:00Z: EngineKilled: signal 9",
            id="held",
        ),
        pytest.param(
            {"stalled": "2026-01-01T00:04:00Z"},
            {},
            "requests run and nothing moves since 2026-01-01T00:04:00Z",
            id="stalled",
        ),
        pytest.param(
            {"reason": "preflight", "failed_checks": ("ports (a -> b): closed",)},
            {},
            "preflight; ports (a -> b): closed",
            id="preflight",
        ),
        pytest.param({}, {}, f"pod {LEADER} runs and does not answer yet", id="a launcher without a reason"),
        pytest.param({"reason": "x" * 600}, {}, "x" * 509 + "...", id="too long"),
    ],
)
async def test_the_reason_is_the_first_cause(world: World, leader: Obj, worker: Obj, reason: str) -> None:
    await group(world)
    world.hear(LEADER, "Loading", **leader)
    world.hear(WORKER, "Failed", **worker)
    await world.reconcile()
    assert entries(world)[0]["reason"] == reason


async def test_readiness_asks_the_pods_alone(world: World) -> None:
    await world.reconcile()
    world.everything_ready()
    world.hear(LEADER, "Failed", reason="a launcher may say what it likes")
    world.accept_route()
    await world.reconcile()
    assert world.condition("Ready")["status"] == "True"
    assert all("stalled" not in zone for zone in world.status["zones"])


async def test_a_launcher_that_is_ready_before_its_probe_is_changes_nothing(world: World) -> None:
    await group(world)
    world.hear(LEADER, "Loading", reason="the engine does not answer yet")
    await world.reconcile()
    world.hear(LEADER, "Ready")
    assert await world.writes() == []


async def test_of_many_groups_the_first_sixteen_are_told() -> None:
    world = World(zones=None, replicas=40, gateway=None)
    await world.reconcile()
    assert [entry["group"] for entry in entries(world)] == list(range(16))


# ---- what the store tells the collector ------------------------------------------------------------------------


class Pods:
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.forgotten: list[str] = []

    def see(self, pod: Obj) -> None:
        assert pod["status"]["podIP"], "the pod comes as it was received"
        self.seen.append(pod["metadata"]["uid"])

    def forget(self, uid: str) -> None:
        self.forgotten.append(uid)


def version(number: int, uid: str) -> Obj:
    found = pod("llm-zone-a", 0, 0)
    found["metadata"] |= {"uid": uid, "resourceVersion": str(number)}
    found["status"]["podIP"] = "10.0.0.1"
    return found


def test_the_store_tells_of_pods_that_come_change_and_go() -> None:
    store, pods = Store([Stream(kind, None) for kind in KINDS], lambda _: None), Pods()
    store.pods = pods
    store.see(POD, "ADDED", version(1, "a"))
    store.see(POD, "MODIFIED", version(2, "a"))
    store.see(POD, "MODIFIED", version(2, "a"))
    assert (pods.seen, pods.forgotten) == (["a", "a"], [])
    store.see(POD, "ADDED", version(5, "b"))
    assert (pods.seen[2:], pods.forgotten) == (["b"], ["a"]), "another pod in its place"
    store.see(POD, "DELETED", version(6, "b"))
    assert pods.forgotten == ["a", "b"]
    store.see(POD, "ADDED", version(7, "c"))
    store.listed(Stream(POD, None), set(), 9)
    assert pods.forgotten == ["a", "b", "c"], "what a list does not show is gone"


def test_a_set_belongs_to_the_resource_that_owns_it() -> None:
    store = Store([Stream(kind, None) for kind in KINDS], lambda _: None)
    metadata = {"name": "llm-zone-a", "namespace": NAMESPACE, "uid": "s", "resourceVersion": "1"}
    store.see(LEADER_WORKER_SET, None, {"metadata": metadata | {"labels": {"trireme.dev/cluster": "llm"}}})
    assert store.belongs(LEADER_WORKER_SET, "llm-zone-a", Key(NAMESPACE, "llm"))
    assert not store.belongs(LEADER_WORKER_SET, "llm-zone-a", Key(NAMESPACE, "other"))
    assert not store.belongs(LEADER_WORKER_SET, "llm-zone-b", Key(NAMESPACE, "llm"))
