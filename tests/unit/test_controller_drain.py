"""A zone is drained and comes back; each reconcile is that of an operator that has just started."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.controller_samples import NAMESPACE
from tests.unit.test_controller_rollout import Rolling
from trireme_operator.controller.scope import OutdatedError
from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET, POD, Obj

ANNOTATION = "drain.trireme.dev/zone-a"


@pytest.fixture
async def rolling() -> Rolling:
    world = Rolling()
    await world.begin()
    return world


def zone_a(world: Rolling) -> Any:
    return next(zone for zone in world.status["zones"] if zone["name"] == "zone-a")


def ask(world: Rolling, wish: str | None) -> None:
    world.kube.one(INFERENCE_CLUSTER, "llm")["metadata"]["annotations"] = {} if wish is None else {ANNOTATION: wish}


def replicas(world: Rolling) -> int:
    return int(world.set_of("zone-a")["spec"]["replicas"])


def end_groups(world: Rolling) -> None:
    for name in [name for name in world.kube.names(POD) if name.startswith("llm-zone-a")]:
        del world.kube.objects[POD, NAMESPACE, name]


async def test_a_drain_moves_the_weight_waits_for_what_runs_and_ends_the_groups(rolling: Rolling) -> None:
    ask(rolling, "Draining")
    rolling.hear("llm-zone-a-0", "Ready", requests=2)
    await rolling.reconcile()
    assert 0 < rolling.shares()["zone-a"] < 50, "in steps"
    assert (zone_a(rolling)["drain"], zone_a(rolling)["weightReason"]) == ("Moving", "Draining")
    assert rolling.condition("Progressing")["reason"] == "Draining"
    await rolling.settle()
    assert (replicas(rolling), rolling.shares()["zone-a"]) == (2, 0)
    assert zone_a(rolling)["drain"] == "Waiting"
    assert "2 requests that still run are waited for" in zone_a(rolling)["message"]
    rolling.hear("llm-zone-a-0", "Ready", requests=0)
    await rolling.reconcile()
    assert replicas(rolling) == 0
    end_groups(rolling)
    rolling.observe_groups()
    await rolling.settle()
    assert zone_a(rolling)["drain"] == "Drained"
    assert zone_a(rolling)["message"] == "Drained: the zone has no groups"
    assert (zone_a(rolling)["weightReason"], zone_a(rolling)["groups"]) == ("Draining", 0)
    assert rolling.condition("Progressing")["reason"] == "Stable"
    assert await rolling.writes() == []


async def test_an_undrained_zone_comes_back_step_by_step(rolling: Rolling) -> None:
    ask(rolling, "Draining")
    await rolling.settle()
    end_groups(rolling)
    await rolling.settle()
    ask(rolling, None)
    await rolling.reconcile()
    assert replicas(rolling) == 2
    assert "drain" not in zone_a(rolling)
    rolling.ready("zone-a")
    await rolling.reconcile()
    assert rolling.shares()["zone-a"] < 50, "not all at once"
    await rolling.settle()
    assert rolling.shares()["zone-a"] == 50


async def test_a_drain_that_nobody_could_bear_is_refused_and_the_sum_is_said() -> None:
    world = Rolling(engine={"config": {"maxNumSeqs": 2}})
    await world.begin()
    for zone in ("zone-a", "zone-b", "zone-c"):
        world.hear(f"llm-{zone}-0", "Ready", requests=5)
    ask(world, "Draining")
    await world.settle()
    assert (replicas(world), world.shares()["zone-a"], zone_a(world)["drain"]) == (2, 50, "Refused")
    said = world.condition("Progressing")
    assert (said["status"], said["reason"]) == ("True", "DrainRefused")
    assert "15 requests run and wait in zones zone-a, zone-b, zone-c" in said["message"]
    assert "room for 8: 4 groups in zone-b, zone-c x 2" in said["message"]
    ask(world, "Forced")
    for zone in ("zone-a", "zone-b", "zone-c"):
        world.hear(f"llm-{zone}-0", "Ready", requests=0)
    await world.settle()
    assert replicas(world) == 0


async def test_a_drain_of_an_unknown_zone_is_said(rolling: Rolling) -> None:
    annotations = {"drain.trireme.dev/zone-x": "Draining"}
    rolling.kube.one(INFERENCE_CLUSTER, "llm")["metadata"]["annotations"] = annotations
    await rolling.reconcile()
    said = rolling.condition("Accepted")
    assert said["status"] == "True"
    assert "a drain of zone zone-x, which the spec does not have; remove the annotation" in said["message"]


async def test_no_group_ends_by_a_drain_that_was_taken_back_in_the_meantime(rolling: Rolling) -> None:
    """The watch is behind: the annotation is gone, and counts no generation."""
    ask(rolling, "Draining")
    while replicas(rolling) == 2 and rolling.shares()["zone-a"] > 0:
        await rolling.settle(seconds=6)
    rolling.accept_route()
    rolling.now += timedelta(seconds=10)
    get = rolling.kube.get

    async def later(kind: Any, namespace: str, name: str) -> Obj:
        if kind == INFERENCE_CLUSTER:
            ask(rolling, None)
        return await get(kind, namespace, name)

    rolling.kube.get = later  # type: ignore[method-assign]
    assert await rolling.reconcile() == 0.0, OutdatedError.__doc__
    assert rolling.kube.one(LEADER_WORKER_SET, "llm-zone-a")["spec"]["replicas"] == 2


async def test_the_spec_asks_for_the_same(rolling: Rolling) -> None:
    rolling.spec["zones"][0]["state"] = "Draining"
    await rolling.settle()
    assert replicas(rolling) == 0


async def test_no_rollout_begins_while_a_zone_is_being_drained(rolling: Rolling) -> None:
    ask(rolling, "Draining")
    rolling.hear("llm-zone-a-0", "Ready", requests=2)
    await rolling.settle()
    rolling.spec["engine"] = {"image": "next"}
    await rolling.settle()
    assert rolling.revisions() == ["1", "1", "1"]
    assert rolling.shares() == {"zone-a": 0, "zone-b": 50, "zone-c": 50}
    rolling.hear("llm-zone-a-0", "Ready", requests=0)
    await rolling.reconcile()
    end_groups(rolling)
    await rolling.settle()
    assert rolling.shares()["zone-b"] == 0, "the drained zone keeps nobody waiting"
