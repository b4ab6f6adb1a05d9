"""From what launchers count to less traffic for a zone, and how that lives with what else moves weights."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.test_collector_silence import Wire
from tests.unit.test_controller_rollout import NEXT, ZONES, Rolling
from tests.unit.test_controller_traffic import Heard, groups, ready_at, silence, zone_b
from trireme_operator.collector.mean import Mean
from trireme_operator.controller.groups import Group
from trireme_operator.controller.traffic import with_queues
from trireme_operator.kube import HTTP_ROUTE, POD, Obj
from trireme_operator.planning import Queue, ZoneFacts

GATEWAY = {"parentRefs": [{"name": "edge", "namespace": "infra"}], "balancing": {"acrossZones": "QueueLength"}}


# ---- the queue of a zone -----------------------------------------------------------------------------------


def queue_of(found: tuple[Group, ...], said: dict[str, Queue | None]) -> Queue | None:
    before: dict[str | None, ZoneFacts] = {"a": ZoneFacts()}
    return with_queues(before, {"a": found}, lambda uid, _: said.get(uid), 30)["a"].queue


@pytest.mark.parametrize(
    ("said", "queue"),
    [
        ({"zone-a-0": Queue(4), "zone-a-1": Queue(8)}, Queue(6)),
        ({"zone-a-0": Queue(4), "zone-a-1": Queue(None)}, Queue(4)),
        ({"zone-a-0": Queue(4), "zone-a-1": None}, Queue(4)),
        ({"zone-a-0": Queue(None), "zone-a-1": Queue(None)}, Queue(None)),
        ({"zone-a-0": Queue(None), "zone-a-1": None}, None),
        ({}, None),
    ],
)
def test_the_queue_of_a_zone_is_that_of_its_groups_as_far_as_it_is_known(
    said: dict[str, Queue | None], queue: Queue | None
) -> None:
    moment = ready_at("2025-12-31T23:00:00Z")
    assert queue_of(groups(moment, moment), said) == queue


def test_only_ready_groups_in_rotation_count() -> None:
    moment = ready_at("2025-12-31T23:00:00Z")
    found = groups(moment, ready_at("2025-12-31T23:00:00Z", ready="False"), moment)
    leader = found[2].leader
    assert leader is not None
    leader["metadata"]["labels"]["trireme.dev/rotation"] = "out"
    assert queue_of(found, {"zone-a-0": Queue(4), "zone-a-1": Queue(8), "zone-a-2": Queue(90)}) == Queue(4)


def test_a_group_has_what_all_of_its_pods_that_serve_have() -> None:
    found = groups(ready_at("2025-12-31T23:00:00Z"))
    worker: Obj = {"metadata": {"uid": "worker", "labels": {"trireme.dev/rotation": "in"}}}
    silent: Obj = {"metadata": {"uid": "silent", "labels": {}}}
    both = (Group(0, None, "", (*found[0].pods, worker, silent)),)
    assert queue_of(both, {"zone-a-0": Queue(4), "worker": Queue(3)}) == Queue(7)
    assert queue_of(both, {"zone-a-0": Queue(4), "worker": Queue(None)}) == Queue(None)


def test_nobody_is_asked_where_weights_do_not_go_by_it() -> None:
    def never(_uid: str, _seconds: float) -> Queue | None:
        raise AssertionError("asked")

    before: dict[str | None, ZoneFacts] = {"a": ZoneFacts(ready=1)}
    assert with_queues(before, {"a": groups(ready_at(None))}, never, None) == before


# ---- what launchers count ----------------------------------------------------------------------------------


def test_a_mean_follows_slowly_and_begins_with_the_first_count() -> None:
    mean = Mean(60, since=0)
    mean.add(10, 1)
    assert mean.queue(29, fresh_seconds=30) is None, "too early to tell"
    assert mean.queue(30, fresh_seconds=30) == Queue(10)
    for now in range(30, 91, 3):
        mean.add(110, now)
    found = mean.queue(90, fresh_seconds=15)
    assert found is not None
    assert found.length == pytest.approx(10 + 100 * (1 - 2.718281828 ** (-89 / 60)), rel=1e-6)
    assert mean.queue(106, fresh_seconds=15) == Queue(None), "too long ago"


def test_a_mean_without_a_count_says_nothing() -> None:
    mean = Mean(60, since=0)
    assert (mean.queue(29, fresh_seconds=30), mean.queue(31, fresh_seconds=100)) == (None, Queue(None))


async def test_a_launcher_is_counted_from_when_somebody_wants_it() -> None:
    wire = Wire()
    uid = wire.add(0)
    assert wire.collector.queue(uid, 10) is None, "it was not asked yet"
    wire.said = {"engine": {"requests": 12}}
    await wire.pass_by(2)
    assert wire.collector.queue(uid, 10) is None
    await wire.pass_by(6)
    assert wire.collector.queue(uid, 10) == Queue(12)
    wire.said = {"engine": {"requests": None}}
    await wire.pass_by(6)
    assert wire.collector.queue(uid, 10) == Queue(12), "it did not count for a moment"
    await wire.pass_by(12)
    assert wire.collector.queue(uid, 10) == Queue(None)
    assert wire.collector.queue(uid, 20) is None, "for another time it is counted anew"
    wire.collector.forget(uid)
    assert wire.collector.queue(uid, 10) is None


# ---- a reconcile -------------------------------------------------------------------------------------------


class Loaded(Heard):
    """Two zones that are balanced, whose launchers count what a test says."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(gateway=GATEWAY, **spec)
        self.lengths: dict[str, float] = {"zone-a": 0, "zone-b": 0}

    def queue(self, uid: str, seconds: float) -> Queue | None:
        assert seconds == 60
        pods = {key[2]: obj for key, obj in self.kube.objects.items() if key[0] == POD}
        zone = next(name[4:10] for name, obj in pods.items() if obj["metadata"].get("uid") == uid)
        return Queue(self.lengths[zone])

    def part(self) -> str | None:
        route: Obj = self.kube.one(HTTP_ROUTE, "llm")
        return (route["metadata"].get("annotations") or {}).get("trireme.dev/balance")

    async def written(self) -> list[str]:
        """The kinds that a reconcile writes; the gateway takes the route up after it."""
        self.kube.writes.clear()
        await self.reconcile()
        kinds = [write[1] for write in self.kube.writes]
        self.accept_route()
        return kinds


@pytest.fixture
async def world() -> Loaded:
    found = Loaded()
    await found.reconcile()
    found.everything_ready()
    found.accept_route()
    await found.reconcile()
    return found


async def test_a_loaded_zone_gets_less_by_one_write_each_half_minute_and_then_its_share_back(world: Loaded) -> None:
    assert await world.written() == [], "nobody waits"
    assert await world.reconcile() == pytest.approx(30.05)
    world.lengths = {"zone-a": 30, "zone-b": 60}
    seen = []
    for second in range(0, 150, 10):
        kinds = await world.written()
        assert await world.written() in ([], ["InferenceCluster"]), "once more for what the gateway said"
        if "HTTPRoute" in kinds:
            seen.append((second, zone_b(world), world.weights()["llm-zone-b-http"]))
        world.now += timedelta(seconds=10)
    assert seen == [(0, (36, "Balanced", 90), 36), (30, (32, "Balanced", 80), 32)]
    assert world.weights()["llm-zone-a-http"] == 60
    assert world.condition("Ready")["status"] == "True", "it is no trouble"
    assert await world.written() == [], "at rest nothing is written"

    world.lengths = {"zone-a": 0, "zone-b": 0}
    for _ in range(4):
        await world.written()
        world.now += timedelta(seconds=30)
    assert zone_b(world) == (40, "Healthy", None)
    await world.written()
    assert await world.written() == []


async def test_one_write_changes_only_numbers_and_what_is_remembered(world: Loaded) -> None:
    before = world.kube.one(HTTP_ROUTE, "llm")["spec"]
    assert world.part() is None
    world.lengths["zone-b"] = 200
    await world.reconcile()
    after = world.kube.one(HTTP_ROUTE, "llm")["spec"]
    for spec in (before, after):
        for ref in spec["rules"][0]["backendRefs"]:
            ref["weight"] = 0
    assert after == before
    moment = int(world.now.timestamp())
    told = {"zone-a": {"percent": 100, "since": moment}, "zone-b": {"percent": 90, "since": moment}}
    assert json.loads(world.part() or "") == told


async def test_a_zone_that_is_lost_has_nothing_and_the_other_one_all(world: Loaded) -> None:
    world.lengths["zone-b"] = 200
    await world.reconcile()
    world.zones["zone-a"] = silence(4.0)
    await world.reconcile()
    assert world.weights() == {"llm-zone-a-http": 0, "llm-zone-b-http": 40}
    assert world.part() is None


async def test_who_asks_no_more_has_the_specs_weights_and_leaves_nothing(world: Loaded) -> None:
    world.lengths["zone-b"] = 200
    await world.reconcile()
    del world.spec["gateway"]["balancing"]
    await world.reconcile()
    assert (world.weights()["llm-zone-b-http"], world.part()) == (40, None)
    assert zone_b(world) == (40, "Healthy", None)


class RollingLoaded(Rolling):
    """Three zones, the last of which is loaded."""

    def queue(self, uid: str, _seconds: float) -> Queue | None:
        loaded = {self.kube.one(POD, f"llm-zone-c-{index}")["metadata"]["uid"] for index in range(2)}
        return Queue(200 if uid in loaded else 0)


async def test_a_rollout_does_not_wait_for_what_a_zone_gave_up_to_balance() -> None:
    rolling = RollingLoaded()
    await rolling.begin()
    rolling.spec["gateway"] = GATEWAY
    await rolling.settle()
    assert rolling.shares() == {"zone-a": 50, "zone-b": 50, "zone-c": 25}
    rolling.spec["engine"] = NEXT
    for zone in ZONES:
        await rolling.settle()
        assert rolling.shares()[zone] == 0
        assert all(rolling.shares()[other] >= 25 for other in ZONES if other != zone)
        rolling.ready(zone)
    await rolling.settle(seconds=600)
    assert rolling.revisions() == ["2", "2", "2"]
    assert rolling.shares() == {"zone-a": 50, "zone-b": 50, "zone-c": 25}
    assert rolling.condition("Progressing")["reason"] == "Stable"
    assert await rolling.writes() == []
