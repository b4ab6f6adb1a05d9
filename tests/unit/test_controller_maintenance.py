"""Groups on nodes that are about to be emptied; each reconcile is that of an operator that has just started."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.controller_samples import pod
from tests.unit.reconcile_world import World
from tests.unit.test_controller_rotation import HEARD, Zone, silence
from trireme_operator.kube import POD
from trireme_operator.planning import Notice


class Known:
    """What is known of nodes."""

    def __init__(self, *cordoned: str) -> None:
        self.known = True
        self.cordoned = set(cordoned)

    def notice(self, node: str) -> Notice | None:
        return Notice(node) if node in self.cordoned else None


class Placed(Zone):
    """Zone a has one group and zone b three; each pod is on a node of its own name."""

    def __init__(self) -> None:
        super().__init__()
        self.known = Known()
        self.nodes = self.known

    def place(self) -> None:
        for name in self.kube.names(POD):
            self.kube.one(POD, name)["spec"] = {"nodeName": f"node-{name}"}

    def cordon(self, *pods: str) -> None:
        self.known.cordoned = {f"node-{name}" for name in pods}

    def labels(self, name: str) -> tuple[str | None, str | None]:
        found = self.kube.one(POD, name)["metadata"]["labels"]
        return found.get("trireme.dev/rotation"), found.get("trireme.dev/rotation-reason")

    def out(self) -> set[str]:
        return {name for name in self.kube.names(POD) if self.labels(name)[0] == "out"}

    def zone(self, name: str) -> Any:
        return next(zone for zone in self.status["zones"] if zone["name"] == name)

    async def settle(self, *, seconds: int = 240) -> None:
        await self.pass_by(seconds)


@pytest.fixture
async def world() -> Placed:
    found = Placed()
    await found.reconcile()
    found.everything_ready()
    found.group("zone-b", 2)
    for name in ("llm-zone-a-0", "llm-zone-b-0", "llm-zone-b-1", "llm-zone-b-2"):
        found.kube.one(POD, name)["metadata"]["labels"]["trireme.dev/rotation"] = "in"
    found.place()
    found.accept_route()
    await found.settle(seconds=30)
    assert found.weights() == {"llm-zone-a-http": 60, "llm-zone-b-http": 40}
    return found


async def test_a_group_whose_workers_node_is_cordoned_leaves_and_is_back_when_that_is_over(world: Placed) -> None:
    world.cordon("llm-zone-b-1-1")
    assert await world.reconcile() == pytest.approx(0.05), "the weight follows the label"
    assert world.labels("llm-zone-b-1") == ("out", "NodeMaintenance")
    await world.reconcile()
    assert world.out() == {"llm-zone-b-1"}
    assert world.weights()["llm-zone-b-http"] == 26
    said = world.condition("Progressing")
    assert (said["status"], said["reason"]) == ("True", "NodeMaintenance")
    assert said["message"].startswith("zone zone-b, group 1 is out of rotation, because node node-llm-zone-b-1-1 is")
    assert world.condition("Ready")["reason"] == "NodeMaintenance"
    assert await world.writes() == []

    world.cordon()
    await world.reconcile()
    assert world.labels("llm-zone-b-1") == ("in", None)
    await world.settle()
    assert world.weights()["llm-zone-b-http"] == 40
    assert world.condition("Progressing")["reason"] == "Stable"
    assert await world.writes() == []


async def test_one_group_of_a_zone_at_a_time_though_all_nodes_are_cordoned(world: Placed) -> None:
    world.cordon("llm-zone-b-0", "llm-zone-b-1", "llm-zone-b-2")
    await world.settle()
    assert world.out() == {"llm-zone-b-0"}
    world.group("zone-b", 0, ready=False)
    world.place()
    await world.settle()
    assert world.out() == set(), "the one that was evicted is not whole yet"
    world.cordon("llm-zone-b-1", "llm-zone-b-2")
    world.group("zone-b", 0)
    world.kube.one(POD, "llm-zone-b-0")["metadata"]["labels"]["trireme.dev/rotation"] = "in"
    await world.settle()
    assert world.out() == {"llm-zone-b-1"}


async def test_what_runs_there_is_told_and_looked_at_again_soon(world: Placed) -> None:
    world.cordon("llm-zone-b-1")
    world.hear("llm-zone-b-1", "Ready", requests=2)
    await world.reconcile()
    wait = await world.reconcile()
    assert wait is not None
    assert wait <= 4
    assert "requests still run there" in world.zone("zone-b")["message"]
    world.hear("llm-zone-b-1", "Ready", requests=0)
    await world.reconcile()
    assert "the node can be drained" in world.zone("zone-b")["message"]


async def test_a_group_that_can_not_be_spared_keeps_its_requests_and_says_why(world: Placed) -> None:
    world.group("zone-b", 2, ready=False)
    world.place()
    world.cordon("llm-zone-b-1")
    await world.settle()
    assert world.out() == set()
    assert "group 1 keeps its requests, because 1 of the 2 other groups" in world.zone("zone-b")["message"]
    assert world.condition("Progressing")["reason"] == "Starting", "nothing leaves"


async def test_the_traffic_of_a_zones_only_group_moves_first(world: Placed) -> None:
    world.cordon("llm-zone-a-0")
    await world.reconcile()
    zone = world.zone("zone-a")
    assert (zone["weightReason"], world.out()) == ("NodeMaintenance", set())
    assert 0 < zone["weight"] < 60, "in steps"
    assert world.condition("Progressing")["reason"] == "NodeMaintenance"
    seen = set()
    for _ in range(60):
        await world.reconcile()
        world.accept_route()
        world.now += timedelta(seconds=3)
        seen.add((world.weights()["llm-zone-a-http"] > 0, world.out() == {"llm-zone-a-0"}))
    assert seen == {(True, False), (False, False), (False, True)}, "never out with traffic"
    assert world.weights() == {"llm-zone-a-http": 0, "llm-zone-b-http": 40}
    assert world.zone("zone-a")["weightReason"] == "NodeMaintenance"
    assert await world.writes() == []

    world.cordon()
    await world.settle()
    assert world.out() == set()
    assert world.weights() == {"llm-zone-a-http": 60, "llm-zone-b-http": 40}
    assert await world.writes() == []


async def test_it_is_back_at_once_when_nobody_else_serves(world: Placed) -> None:
    world.cordon("llm-zone-a-0")
    await world.settle()
    assert world.out() == {"llm-zone-a-0"}
    for index in range(3):
        world.group("zone-b", index, ready=False)
    await world.reconcile()
    assert world.out() == set()
    await world.reconcile()
    assert world.weights()["llm-zone-a-http"] > 0 == world.weights()["llm-zone-b-http"]


async def test_one_zone_waits_for_the_other(world: Placed) -> None:
    world.cordon("llm-zone-b-1")
    await world.settle()
    world.cordon("llm-zone-b-1", "llm-zone-a-0")
    await world.settle()
    assert world.out() == {"llm-zone-b-1"}
    assert "2 of 3 groups of zone zone-b serve" in world.zone("zone-a")["message"]


async def test_nothing_is_decided_before_the_nodes_were_listed(world: Placed) -> None:
    world.cordon("llm-zone-b-1")
    await world.settle()
    world.known.known, world.known.cordoned = False, set()
    wait = await world.reconcile()
    assert world.out() == {"llm-zone-b-1"}
    assert wait is not None
    assert wait <= 4
    world.known.known = True
    await world.reconcile()
    assert world.out() == set()


async def test_who_was_taken_out_is_back_where_nodes_are_read_no_more(world: Placed) -> None:
    world.cordon("llm-zone-b-1")
    await world.settle()
    world.nodes = None
    await world.reconcile()
    assert world.labels("llm-zone-b-1") == ("in", None)


async def test_a_leader_that_fell_silent_meanwhile_stays_out_until_it_was_heard(world: Placed) -> None:
    world.cordon("llm-zone-b-1")
    await world.settle()
    world.cordon()
    world.leaders["llm-zone-b-1"] = silence(5.0)
    await world.reconcile()
    assert world.out() == {"llm-zone-b-1"}
    world.leaders["llm-zone-b-1"] = HEARD
    await world.reconcile()
    assert world.labels("llm-zone-b-1") == ("in", None)


async def test_one_that_is_needed_because_another_fell_silent_is_back(world: Placed) -> None:
    world.cordon("llm-zone-b-1")
    await world.settle()
    world.leaders["llm-zone-b-0"] = silence(5.0)
    await world.reconcile()
    assert world.labels("llm-zone-b-1") == ("in", None)
    await world.reconcile()
    assert world.labels("llm-zone-b-0") == ("out", None), "it is the one that nobody hears"


async def test_launchers_that_nobody_can_reach_change_nothing() -> None:
    """Labels by silence need a voice; those by nodes do not."""
    world = Placed()
    await world.reconcile()
    world.everything_ready()
    world.group("zone-b", 2)
    for name in world.kube.names(POD):
        world.leaders[name] = None
    world.place()
    await world.settle(seconds=30)
    world.cordon("llm-zone-b-2")
    await world.settle(seconds=30)
    assert world.out() == {"llm-zone-b-2"}
    world.cordon()
    await world.settle(seconds=30)
    assert world.out() == set()


async def test_the_last_group_of_a_resource_without_zones_stays() -> None:
    world = World(zones=None, replicas=1)
    known = Known("n1")
    world.nodes = known
    await world.reconcile()
    for worker in range(2):
        found = pod("llm", 0, worker)
        found["spec"] = {"nodeName": "n1"}
        world.kube.add(POD, found)
    await world.reconcile()
    assert "no other group of the resource serves" in world.status["zones"][0]["message"]
    assert "trireme.dev/rotation" not in world.kube.one(POD, "llm-0")["metadata"]["labels"]
