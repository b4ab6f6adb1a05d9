"""APIs that come and go, and resources whose first event was lost."""

import asyncio
import contextlib
from typing import Any

import kopf
import pytest

from tests.unit.controller_samples import resource
from tests.unit.fake_kube import FakeKube
from trireme_operator.controller import discovery as subject
from trireme_operator.controller.discovery import NEEDED, Discovery
from trireme_operator.controller.queue import Key, KeyedQueue
from trireme_operator.controller.resync import relist
from trireme_operator.kube import HTTP_ROUTE, INFERENCE_CLUSTER, LEADER_WORKER_SET, Kind, Unreachable


class World:
    """A server, kopf's view of it, and what the discovery did about the difference."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kube = FakeKube()
        self.changes = 0
        self.scanned: list[str] = []
        self.fails = False
        monkeypatch.setattr(subject, "process_discovered_resource_event", self._scan)
        self.discovery = Discovery(
            self.kube, kopf.OperatorRegistry(), kopf.OperatorSettings(), namespaces=(), changed=self._changed
        )
        self.watch(*NEEDED)

    def watch(self, *kinds: Kind) -> None:
        watched = self.discovery.insights.watched_resources
        watched.clear()
        watched.update(kopf.Resource(kind.group, kind.version, kind.plural) for kind in kinds)

    def _changed(self) -> None:
        self.changes += 1

    async def _scan(self, *, raw_event: Any, **_: Any) -> None:
        if self.fails:
            raise OSError("refused")
        self.scanned.append(raw_event["object"]["spec"]["group"])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_nothing_is_done_while_kopf_watches_what_is_served(world: World) -> None:
    await world.discovery.look()
    await world.discovery.look()
    assert (world.scanned, world.changes) == ([], 0)


async def test_an_api_that_kopf_missed_is_looked_for_again_and_asks_for_everything(world: World) -> None:
    world.watch(INFERENCE_CLUSTER, HTTP_ROUTE)
    world.kube.unserved = {LEADER_WORKER_SET}
    await world.discovery.look()
    assert (world.scanned, world.changes) == ([], 0), "it is not there, and not watched"
    world.kube.unserved = set()
    await world.discovery.look()
    assert (world.scanned, world.changes) == (["leaderworkerset.x-k8s.io"], 1)


async def test_an_api_that_went_is_no_longer_watched(world: World) -> None:
    await world.discovery.look()
    world.kube.unserved = {HTTP_ROUTE}
    await world.discovery.look()
    assert (world.scanned, world.changes) == (["gateway.networking.k8s.io"], 1)


async def test_a_server_without_an_answer_changes_nothing(world: World) -> None:
    await world.discovery.look()
    world.kube.fail = lambda verb, kind, name: Unreachable("refused")
    await world.discovery.look()
    assert (world.scanned, world.changes) == ([], 0)


async def test_an_object_of_the_name_that_is_asked_for_means_served_too(world: World) -> None:
    world.watch(INFERENCE_CLUSTER, HTTP_ROUTE)
    world.kube.add(LEADER_WORKER_SET, {"metadata": {"name": "trireme-discovery", "namespace": "default"}})
    await world.discovery.look()
    assert world.scanned == ["leaderworkerset.x-k8s.io"]


async def test_it_looks_again_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "FAST_SECONDS", 0.001)
    looks: list[int] = []
    enough = asyncio.Event()

    async def look() -> None:
        looks.append(1)
        if len(looks) > 3:
            enough.set()

    monkeypatch.setattr(world.discovery, "look", look)
    world.discovery.insights.ready_resources.set()
    task = asyncio.create_task(world.discovery.run())
    async with asyncio.timeout(5):
        await enough.wait()
    task.cancel()


async def test_a_failed_look_is_repeated(world: World) -> None:
    world.watch()
    world.fails = True
    await world.discovery.look()
    world.fails = False
    await world.discovery.look()
    assert len(world.scanned) == 3


async def test_a_changed_definition_makes_it_look_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "FAST_SECONDS", 60.0)
    looked = asyncio.Event()

    async def look() -> None:
        looked.set()

    monkeypatch.setattr(world.discovery, "look", look)
    world.discovery.insights.ready_resources.set()
    task = asyncio.create_task(world.discovery.run())
    async with asyncio.timeout(5):
        await looked.wait()
        looked.clear()
        world.discovery.hurry()
        await looked.wait()
    task.cancel()


async def test_a_resource_whose_event_was_lost_is_found_by_a_list() -> None:
    kube, queue = FakeKube(), KeyedQueue()
    kube.add(INFERENCE_CLUSTER, resource())
    answers = [Unreachable("refused"), None]
    kube.fail = lambda verb, kind, name: answers.pop(0) if answers else None
    task = asyncio.create_task(relist(kube, queue, namespaces=(), every_seconds=0.001))
    async with asyncio.timeout(5):
        assert await queue.get() == Key("genai", "llm")
    queue.succeeded(Key("genai", "llm"), again_seconds=1000)
    await asyncio.sleep(0.05)
    assert queue.depth == 0, "a known key has its own timer"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_only_the_chosen_namespaces_are_listed_and_a_missing_api_is_waited_for() -> None:
    kube, queue = FakeKube(), KeyedQueue()
    kube.add(INFERENCE_CLUSTER, resource())
    kube.unserved = {INFERENCE_CLUSTER}
    task = asyncio.create_task(relist(kube, queue, namespaces=("elsewhere",), every_seconds=0.001))
    await asyncio.sleep(0.02)
    kube.unserved = set()
    await asyncio.sleep(0.05)
    assert queue.known() == ()
    assert not task.done()
    task.cancel()
