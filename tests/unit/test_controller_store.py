"""The store: it never goes back, an own echo wakes nobody, and everything that others did wakes somebody."""

import copy
import json
import random
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.controller_samples import NAMESPACE, pod, resource
from tests.unit.fake_kube import FakeKube
from tests.unit.stores import filled
from trireme_operator.controller.compact import Packer, trimmed
from trireme_operator.controller.queue import Key
from trireme_operator.controller.recording import RecordingApi
from trireme_operator.controller.resync import compare
from trireme_operator.controller.store import KINDS, Store, Stream
from trireme_operator.kube import (
    GATEWAY,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    POD,
    SERVICE,
    Forbidden,
    NotFound,
    Obj,
)

KEY = Key(NAMESPACE, "llm")
WHERE = (NAMESPACE, "web")
SERVICES = Stream(SERVICE, None)


def service(version: int, value: str = "", uid: str = "a", name: str = "web", **metadata: Any) -> Obj:
    labels = {"trireme.dev/cluster": "llm", "app.kubernetes.io/managed-by": "trireme"}
    meta = {"name": name, "namespace": NAMESPACE, "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta | metadata, "spec": {"value": value}}


class Watched:
    """A store that is ready, and who it woke."""

    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.store = Store([Stream(kind, None) for kind in KINDS], self.woken.append)
        for stream in self.store.streams:
            self.store.listed(stream, set(), 1)

    def wakes(self) -> list[Key]:
        """Since the last call."""
        woken = list(self.woken)
        self.woken.clear()
        return woken

    def value(self, name: str = "web") -> str | None:
        live = self.store.children(KEY).get(SERVICE, name)
        return None if live is None else str(live["spec"]["value"])


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_what_others_do_is_kept_and_wakes_the_resource(watched: Watched) -> None:
    for event, version, value in (("ADDED", 5, "one"), ("MODIFIED", 6, "two")):
        watched.store.see(SERVICE, event, service(version, value))
        assert watched.wakes() == [KEY]
        assert watched.value() == value
    watched.store.see(SERVICE, "DELETED", service(7, "two"))
    assert watched.wakes() == [KEY]
    assert watched.value() is None


def test_an_older_event_and_the_same_again_change_nothing_and_wake_nobody(watched: Watched) -> None:
    watched.store.see(SERVICE, "MODIFIED", service(9, "new"))
    watched.wakes()
    for event, version in ((None, 9), ("MODIFIED", 9), ("MODIFIED", 8), ("ADDED", 3)):
        watched.store.see(SERVICE, event, service(version, "old"))
    assert (watched.value(), watched.wakes()) == ("new", [])


def test_what_was_deleted_does_not_return(watched: Watched) -> None:
    watched.store.see(SERVICE, "ADDED", service(5))
    watched.store.see(SERVICE, "DELETED", service(8))
    for event in ("MODIFIED", None):
        watched.store.see(SERVICE, event, service(7))
    with watched.store.writing(SERVICE, WHERE):
        watched.store.wrote(SERVICE, service(6))
    assert watched.value() is None
    watched.store.see(SERVICE, "ADDED", service(9, "back under its label"))
    assert watched.value() == "back under its label"


def test_the_late_end_of_an_earlier_object_leaves_its_successor(watched: Watched) -> None:
    watched.store.see(SERVICE, "ADDED", service(9, "second", uid="b"))
    watched.wakes()
    watched.store.see(SERVICE, "DELETED", service(8, "first", uid="a"))
    watched.store.see(SERVICE, "MODIFIED", service(7, "first", uid="a"))
    assert watched.value() == "second"


@pytest.mark.parametrize("early", [True, False], ids=["the event is first", "the answer is first"])
def test_the_echo_of_an_own_write_wakes_nobody(watched: Watched, early: bool) -> None:
    with watched.store.writing(SERVICE, WHERE):
        if early:
            watched.store.see(SERVICE, "ADDED", service(5, "ours"))
        watched.store.wrote(SERVICE, service(5, "ours"))
    if not early:
        watched.store.see(SERVICE, "ADDED", service(5, "ours"))
    assert (watched.value(), watched.wakes()) == ("ours", [])


def test_a_write_that_changed_nothing_leaves_the_store_as_it_is(watched: Watched) -> None:
    watched.store.see(SERVICE, "ADDED", service(5, "ours"))
    watched.wakes()
    with watched.store.writing(SERVICE, WHERE):
        watched.store.wrote(SERVICE, service(5, "ours"))
    watched.store.see(SERVICE, "MODIFIED", service(6, "theirs"))
    assert (watched.value(), watched.wakes()) == ("theirs", [KEY])


@pytest.mark.parametrize("during", [True, False], ids=["during the request", "after it"])
def test_a_foreign_edit_right_after_an_own_write_wakes(watched: Watched, during: bool) -> None:
    with watched.store.writing(SERVICE, WHERE):
        if during:
            watched.store.see(SERVICE, "ADDED", service(5, "ours"))
            watched.store.see(SERVICE, "MODIFIED", service(6, "theirs"))
        watched.store.wrote(SERVICE, service(5, "ours"))
    if not during:
        watched.store.see(SERVICE, "ADDED", service(5, "ours"))
        watched.store.see(SERVICE, "MODIFIED", service(6, "theirs"))
    assert (watched.value(), watched.wakes()) == ("theirs", [KEY])


def test_a_foreign_edit_between_two_own_writes_wakes_although_it_comes_late(watched: Watched) -> None:
    for version in (5, 7):
        with watched.store.writing(SERVICE, WHERE):
            watched.store.wrote(SERVICE, service(version, f"ours {version}"))
    watched.store.see(SERVICE, "ADDED", service(5, "ours 5"))
    assert watched.wakes() == []
    watched.store.see(SERVICE, "MODIFIED", service(6, "theirs"))
    assert (watched.value(), watched.wakes()) == ("ours 7", [KEY])
    watched.store.see(SERVICE, "MODIFIED", service(7, "ours 7"))
    assert watched.wakes() == []


def test_an_event_that_waited_for_a_write_that_failed_wakes(watched: Watched) -> None:
    with watched.store.writing(SERVICE, WHERE):
        watched.store.see(SERVICE, "ADDED", service(5, "stored, but the answer was lost"))
        assert watched.wakes() == []
    assert watched.wakes() == [KEY]


def test_a_child_whose_label_was_moved_wakes_both_and_stays_with_its_owner(watched: Watched) -> None:
    owner = {"apiVersion": INFERENCE_CLUSTER.api_version, "kind": INFERENCE_CLUSTER.kind, "name": "llm"}
    watched.store.see(SERVICE, "ADDED", service(5, ownerReferences=[owner]))
    watched.wakes()
    moved = service(6, ownerReferences=[owner], labels={"trireme.dev/cluster": "other"})
    watched.store.see(SERVICE, "MODIFIED", moved)
    assert set(watched.wakes()) == {KEY, Key(NAMESPACE, "other")}
    assert watched.value() is not None
    watched.store.see(SERVICE, "MODIFIED", service(7, labels={"trireme.dev/cluster": "other"}))
    assert set(watched.wakes()) == {KEY, Key(NAMESPACE, "other")}
    assert watched.value() is None


def test_nobody_is_woken_before_every_stream_was_read_and_then_everybody() -> None:
    woken: list[Key] = []
    store = Store([Stream(kind, None) for kind in KINDS], woken.append)
    raw = resource()
    raw["metadata"] |= {"uid": "u", "resourceVersion": "3"}
    store.see(INFERENCE_CLUSTER, None, raw)
    *others, last = store.streams
    for stream in others:
        store.listed(stream, {KEY}, 3)
    assert (store.ready.is_set(), woken) == (False, [])
    store.unserved(last)
    assert (store.ready.is_set(), woken) == (True, [KEY])


def test_after_a_start_resources_that_lack_something_come_first() -> None:
    woken: list[Key] = []
    store = Store([Stream(kind, None) for kind in KINDS], woken.append)
    for number, (name, observed, sets) in enumerate(
        (("fine", 1, 1), ("edited", 0, 1), ("bereft", 1, 0), ("new", None, 0))
    ):
        raw = resource()
        raw["metadata"] |= {"name": name, "uid": name, "resourceVersion": str(number + 1)}
        raw["status"] = {} if observed is None else {"observedGeneration": observed, "zones": [{"name": "zone-a"}]}
        store.see(INFERENCE_CLUSTER, None, raw)
        for _ in range(sets):
            child = service(9, uid=f"{name}-set", name=f"{name}-zone-a", labels={"trireme.dev/cluster": name})
            store.see(LEADER_WORKER_SET, None, child)
    for stream in store.streams:
        found = {(NAMESPACE, name) for name in ("fine", "edited", "bereft", "new", "fine-zone-a", "edited-zone-a")}
        store.listed(stream, found, 9)
    assert set(woken[:3]) == {Key(NAMESPACE, name) for name in ("edited", "bereft", "new")}
    assert woken[3:] == [Key(NAMESPACE, "fine")]


def test_a_kind_that_comes_or_goes_concerns_every_resource(watched: Watched) -> None:
    raw = resource()
    raw["metadata"] |= {"uid": "u", "resourceVersion": "3"}
    watched.store.see(INFERENCE_CLUSTER, "ADDED", raw)
    watched.store.see(SERVICE, "ADDED", service(5))
    watched.wakes()
    watched.store.unserved(SERVICES)
    assert (watched.wakes(), watched.store.children(KEY).missing) == ([KEY], frozenset({SERVICE}))
    assert watched.value() is None
    watched.store.unserved(SERVICES)
    assert watched.wakes() == []
    watched.store.refused(SERVICES, Forbidden("no", status=403))
    assert (watched.wakes()[:1], set(watched.store.children(KEY).refused)) == ([KEY], {SERVICE})
    watched.store.listed(SERVICES, set(), 9)
    assert watched.wakes()[:1] == [KEY]
    assert (watched.store.children(KEY).missing, watched.store.children(KEY).refused) == (frozenset(), {})


def test_a_list_takes_away_what_it_does_not_show_but_nothing_newer(watched: Watched) -> None:
    watched.store.see(SERVICE, "ADDED", service(5, uid="a", name="old"))
    watched.store.see(SERVICE, "ADDED", service(8, "x", uid="b", name="new"))
    watched.wakes()
    watched.store.listed(SERVICES, set(), 7)
    assert (watched.value("old"), watched.value("new")) == (None, "x")
    assert watched.wakes() == [KEY]


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_whatever_the_order_the_store_ends_as_the_world_and_never_goes_back(seed: int) -> None:
    """Writes by others and by us, deletions; a stream in order, torn off and repeated; lists and answers."""
    _Race(random.Random(seed)).run()  # noqa: S311 - repeatable, not secret


class _Race:
    """An API server with one object, one watch of it, and the store behind that."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.watched = Watched()
        self.history: list[tuple[str, Obj]] = []
        self.delivered = 0
        self.answers: deque[Obj] = deque()
        self.version = 1
        self.live: Obj | None = None
        self.foreign: set[int] = set()

    def run(self) -> None:
        moves = [self.foreign_write, self.own_write, self.delete, self.deliver, self.deliver, self.reconnect, self.list]
        greatest: dict[str, int] = {}
        for _ in range(40):
            self.rng.choice(moves)()
            entry = self.watched.store._objects[SERVICE].get(WHERE)
            if entry is not None:
                assert entry.version >= greatest.get(entry.uid, 0), "it went back"
                greatest[entry.uid] = entry.version
        while self.delivered < len(self.history):
            self.deliver()
        expected = None if self.live is None else self.live["spec"]["value"]
        assert self.watched.value() == expected

    def _store(self, *, foreign: bool) -> Obj:
        self.version += 1
        uid = self.live["metadata"]["uid"] if self.live else f"uid-{self.version}"
        event = "MODIFIED" if self.live else "ADDED"
        self.live = service(self.version, str(self.version), uid=uid)
        self.history.append((event, copy.deepcopy(self.live)))
        if foreign:
            self.foreign.add(self.version)
        return copy.deepcopy(self.live)

    def foreign_write(self) -> None:
        self._store(foreign=True)

    def own_write(self) -> None:
        """Between the request and its answer, anything may happen."""
        with self.watched.store.writing(SERVICE, WHERE):
            answer = self._store(foreign=False)
            for _ in range(self.rng.randrange(3)):
                self.rng.choice([self.foreign_write, self.delete, self.deliver])()
            self.watched.store.wrote(SERVICE, answer)

    def delete(self) -> None:
        if self.live is not None:
            self.version += 1
            gone = copy.deepcopy(self.live)
            gone["metadata"]["resourceVersion"] = str(self.version)
            self.history.append(("DELETED", gone))
            self.live = None

    def deliver(self) -> None:
        if self.delivered < len(self.history):
            event, obj = self.history[self.delivered]
            self.delivered += 1
            watched, version = self.watched, int(obj["metadata"]["resourceVersion"])
            busy = bool(watched.store._writes)
            known = version <= watched.store._gone.version(obj["metadata"]["uid"])
            entry = watched.store._objects[SERVICE].get(WHERE)
            news = entry is None or (entry.uid == obj["metadata"]["uid"] and version > entry.seen)
            watched.wakes()
            watched.store.see(SERVICE, event, obj)
            if version in self.foreign and news and not known and not busy:
                assert watched.wakes() == [KEY], "a foreign edit was taken for an echo"

    def reconnect(self) -> None:
        """A stream that begins again where an earlier one was: events come twice."""
        self.delivered = self.rng.randint(0, self.delivered)

    def list(self) -> None:
        if self.live is not None:
            self.watched.store.see(SERVICE, None, copy.deepcopy(self.live))
        self.watched.store.listed(SERVICES, {WHERE} if self.live is not None else set(), self.version)


async def test_lost_events_are_made_up_for_by_a_comparison() -> None:
    kube, woken = FakeKube(), list[Key]()
    kube.add(INFERENCE_CLUSTER, resource())
    for name in ("changed", "deleted"):
        kube.add(SERVICE, service(0, name=name, uid=name))
    store = await filled(kube, woken.append)
    woken.clear()
    for stream in store.streams:
        await compare(kube, store, stream, patience_seconds=0)
    assert woken == [], "at rest nobody is woken"
    kube.one(SERVICE, "changed")["spec"]["value"] = "by somebody"
    kube.one(SERVICE, "changed")["metadata"]["resourceVersion"] = "500"
    del kube.objects[SERVICE, NAMESPACE, "deleted"]
    kube.add(SERVICE, service(501, "made", name="made", uid="m"))
    kube._numbers = iter(range(600, 700))  # type: ignore[assignment]
    await compare(kube, store, SERVICES, patience_seconds=0)
    assert set(woken) == {KEY}
    found = store.children(KEY).of(SERVICE)
    assert {name: obj["spec"]["value"] for name, obj in found.items()} == {"changed": "by somebody", "made": "made"}


async def test_what_we_read_and_wrote_ourselves_is_kept() -> None:
    kube = FakeKube()
    kube.add(INFERENCE_CLUSTER, resource())
    woken = list[Key]()
    store = await filled(kube, woken.append)
    api = RecordingApi(kube, store)
    woken.clear()
    body = service(0)
    for field in ("uid", "resourceVersion"):
        del body["metadata"][field]
    live = await api.apply(SERVICE, body, manager="trireme")
    assert store.children(KEY).get(SERVICE, "web") == trimmed(SERVICE, live)
    store.see(SERVICE, "ADDED", live)
    assert woken == []
    await api.delete(SERVICE, NAMESPACE, "web", uid=live["metadata"]["uid"])
    child = store.children(KEY).get(SERVICE, "web")
    assert child is not None
    assert child["metadata"]["deletionTimestamp"], "it stands as ending until its event comes"
    with pytest.raises(NotFound):
        await api.get(SERVICE, NAMESPACE, "web")
    assert store.children(KEY).get(SERVICE, "web") is None
    kube.add(GATEWAY, {"metadata": {"name": "edge", "namespace": "infra"}})
    assert await api.get(GATEWAY, "infra", "edge"), "kinds that are not kept just pass"


def test_of_a_pod_only_what_its_status_tells_is_kept() -> None:
    full = pod("llm-zone-a", 0, 0)
    full["metadata"] |= {"uid": "u", "resourceVersion": "1", "managedFields": [{"manager": "kubelet"}]}
    volumes = [{"name": "a", "emptyDir": {}}, {"name": "b", "image": {"reference": "models/llama:1"}}]
    full["spec"] = {"containers": [{"name": "engine", "image": "x" * 1000}], "nodeName": "n1", "volumes": volumes}
    full["status"]["podIPs"] = [{"ip": "10.0.0.1"}]
    kept = trimmed(POD, full)
    assert kept["spec"] == {"nodeName": "n1", "volumes": [{"image": {"reference": "models/llama:1"}}]}
    assert "managedFields" not in kept["metadata"]
    assert set(kept["status"]) == {"conditions", "containerStatuses"}


def test_what_was_packed_is_read_whatever_came_before_and_after_it() -> None:
    packer = Packer()
    objects: list[Obj] = [
        {"metadata": {"name": f"{kind}-{number}"}, "spec": {str(kind): list(range(kind))}}
        for kind in range(1, 40)
        for number in range(3)
    ]
    packed = [packer.pack(obj) for obj in objects]
    assert [packer.unpack(each) for each in packed] == objects


def test_an_object_like_an_earlier_one_takes_next_to_nothing() -> None:
    packer = Packer()
    spec = {str(number): number * number for number in range(400)}
    first, second = ({"metadata": {"name": name}, "spec": spec} for name in ("one", "two"))
    packer.pack({"metadata": {"name": "of another shape"}})
    packer.pack(first)
    assert len(packer.pack(second)) < len(json.dumps(second)) / 50


def test_every_child_kind_and_pods_are_kept() -> None:
    assert {LEADER_WORKER_SET, HTTP_ROUTE, POD, INFERENCE_CLUSTER} <= set(KINDS)
