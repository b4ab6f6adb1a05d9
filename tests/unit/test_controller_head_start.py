"""At a start among many resources, those that seem to need it come before the lists of everything."""

import asyncio
from collections.abc import Callable

import pytest
import structlog

from tests.unit.controller_samples import NAMESPACE, resource
from tests.unit.fake_kube import error
from tests.unit.reconcile_world import KEY, World
from trireme_operator.controller import head_start as module
from trireme_operator.controller.feed import read
from trireme_operator.controller.head_start import head_start
from trireme_operator.controller.queue import Key
from trireme_operator.controller.reconcile import Reconciler
from trireme_operator.controller.recording import RecordingApi
from trireme_operator.controller.store import KINDS, Store, Stream
from trireme_operator.kube import (
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    POD_MONITOR,
    SERVICE,
    Forbidden,
    Kind,
)

CROWD = 5
SET = "llm-zone-a"


class Start:
    """A process that has listed the resources and nothing else; each of them has all that it asks for."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kube = world.kube
        self.asked: list[Kind] = []
        self.woken: list[Key] = []
        self.store = Store([Stream(kind, None) for kind in KINDS], self.woken.append)
        self.kube.fail = self._noted

    def _noted(self, verb: str, kind: Kind, _: str) -> None:
        if verb == "list":
            self.asked.append(kind)

    async def look_ahead(self) -> None:
        await read(self.kube, self.store, Stream(INFERENCE_CLUSTER, None))
        self.asked.clear()
        await head_start(self.kube, self.store)

    async def reconcile(self) -> list[tuple[str, str, str]]:
        """The resource of the world, with what the store knows now; returns what was written."""
        self.kube.writes.clear()
        world, api = self.world, RecordingApi(self.kube, self.store)
        await Reconciler(api, self.store, world.settings, clock=lambda: world.now).reconcile(KEY)
        return list(self.kube.writes)


@pytest.fixture
async def start() -> Start:
    """A crowd of resources: that of the world, brought about, and others that are whole as far as one sees."""
    world = World()
    await world.reconcile()
    for number in range(CROWD):
        name = f"other-{number}"
        raw = resource()
        raw["metadata"]["name"] = name
        raw["status"] = {"observedGeneration": 1, "zones": [{"name": "zone-a"}, {"name": "zone-b"}]}
        world.kube.add(INFERENCE_CLUSTER, raw)
        for zone in ("zone-a", "zone-b"):
            labels = {"trireme.dev/cluster": name, "app.kubernetes.io/managed-by": "trireme"}
            metadata = {"name": f"{name}-{zone}", "namespace": NAMESPACE, "labels": labels}
            world.kube.add(LEADER_WORKER_SET, {"metadata": metadata, "spec": {}})
    return Start(world)


async def test_nobody_is_looked_at_early_who_lacks_nothing(start: Start) -> None:
    await start.look_ahead()
    assert start.woken == []
    assert start.asked == [LEADER_WORKER_SET]


def lose_groups(start: Start) -> None:
    del start.kube.objects[LEADER_WORKER_SET, NAMESPACE, SET]


def end_groups(start: Start) -> None:
    start.kube.one(LEADER_WORKER_SET, SET)["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


def edit(start: Start) -> None:
    start.kube.one(INFERENCE_CLUSTER, "llm")["metadata"]["generation"] += 1


def lose_status(start: Start) -> None:
    del start.kube.one(INFERENCE_CLUSTER, "llm")["status"]


@pytest.mark.parametrize("happens", [lose_groups, end_groups, edit, lose_status])
async def test_who_was_edited_or_lost_groups_is_looked_at_before_everything_was_listed(
    start: Start, happens: Callable[[Start], None]
) -> None:
    happens(start)
    await start.look_ahead()
    assert start.woken == [KEY]
    assert not start.store.ready.is_set()


async def test_a_zone_that_is_disabled_has_lost_nothing(start: Start) -> None:
    lose_groups(start)
    start.world.spec["zones"][0]["state"] = "Disabled"
    await start.look_ahead()
    assert start.woken == []


async def test_what_is_missing_comes_back_and_nothing_else_is_touched(start: Start) -> None:
    lose_groups(start)
    await start.look_ahead()
    written = await start.reconcile()
    assert set(written) == {("apply", "LeaderWorkerSet", SET)}
    assert len(written) == 2, "the set, and its number of groups"


async def test_a_child_that_lost_its_label_is_found_by_its_name(start: Start) -> None:
    lose_groups(start)
    name = min(start.kube.names(SERVICE))
    del start.kube.one(SERVICE, name)["metadata"]["labels"]["trireme.dev/cluster"]
    before = start.kube.one(SERVICE, name)["metadata"]["uid"]
    await start.look_ahead()
    assert ("apply", "Service", name) in await start.reconcile()
    after = start.kube.one(SERVICE, name)["metadata"]
    assert (after["uid"], after["labels"]["trireme.dev/cluster"]) == (before, "llm")


async def test_a_kind_that_is_not_served_or_may_not_be_listed_is_known_as_such(start: Start) -> None:
    lose_groups(start)
    start.kube.unserved.add(POD_MONITOR)
    refusal = Forbidden("no", status=403)
    start.kube.fail = lambda verb, kind, _: refusal if (verb, kind) == ("list", HTTP_ROUTE) else None
    await start.look_ahead()
    assert start.woken == [KEY]
    children = start.store.children(KEY)
    assert (children.missing, children.refused) == (frozenset({POD_MONITOR}), {HTTP_ROUTE: refusal})


@pytest.mark.parametrize("kind", [LEADER_WORKER_SET, SERVICE])
async def test_nobody_is_looked_at_of_whom_not_all_could_be_listed(start: Start, kind: Kind) -> None:
    lose_groups(start)
    start.kube.fail = lambda verb, asked, _: error() if (verb, asked) == ("list", kind) else None
    await start.look_ahead()
    assert start.woken == []


async def test_a_slow_answer_is_not_waited_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT_SECONDS", 0.01)
    monkeypatch.setattr(start.kube, "list", lambda *_, **__: asyncio.Event().wait())
    lose_groups(start)
    start.store.listed(Stream(INFERENCE_CLUSTER, None), set(), 0)
    for number in range(CROWD):
        start.store.see(INFERENCE_CLUSTER, None, start.kube.one(INFERENCE_CLUSTER, f"other-{number}"))
    await head_start(start.kube, start.store)
    assert start.woken == []


async def test_only_some_are_looked_at_early(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    for number in range(3):
        del start.kube.objects[LEADER_WORKER_SET, NAMESPACE, f"other-{number}-zone-a"]
    await start.look_ahead()
    assert len(set(start.woken)) == 2


async def test_a_cluster_without_leaderworkersets_is_none_to_look_ahead_in(start: Start) -> None:
    start.kube.unserved.add(LEADER_WORKER_SET)
    lose_groups(start)
    with structlog.testing.capture_logs() as logs:
        await start.look_ahead()
    assert (start.woken, logs) == ([], [])


async def test_it_waits_for_the_resources_also_when_they_may_not_be_listed() -> None:
    store = Store([Stream(kind, namespace) for kind in KINDS for namespace in ("a", "b")], lambda _: None)
    waiting = asyncio.create_task(head_start(World().kube, store))
    store.listed(Stream(INFERENCE_CLUSTER, "a"), set(), 1)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    store.refused(Stream(INFERENCE_CLUSTER, "b"), Forbidden("no", status=403))
    await asyncio.wait_for(waiting, 1)


async def test_it_does_not_wait_for_resources_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT_SECONDS", 0.01)
    store = Store([Stream(kind, None) for kind in KINDS], lambda _: None)
    await asyncio.wait_for(head_start(World().kube, store), 1)
