"""What is kept of nodes, and who is woken by them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.controller_samples import NAMESPACE, pod
from tests.unit.fake_kube import FakeKube
from trireme_operator.controller.feed import read, selector
from trireme_operator.controller.nodes import CORDON, Nodes, Places
from trireme_operator.controller.queue import Key
from trireme_operator.controller.store import Stream
from trireme_operator.kube import NODE, Forbidden, Obj, ServerError
from trireme_operator.planning import Notice

KEY = Key(NAMESPACE, "llm")
NODES = Stream(NODE, None)
TAINTS = (CORDON, "karpenter.sh/disrupted", "ToBeDeletedByClusterAutoscaler")


def node(name: str = "n1", *, cordoned: bool = False, taints: tuple[str, ...] = (), version: int = 1) -> Obj:
    spec: dict[str, Any] = {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]} if taints else {}
    status = {"images": [{"names": ["x" * 100]}] * 50}
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": spec | ({"unschedulable": True} if cordoned else {}), "status": status}


class Everybody:
    """Who else wants to know of pods."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.forgotten: list[str] = []

    def see(self, pod: Obj) -> None:
        self.seen.append(pod["metadata"]["uid"])

    def forget(self, uid: str) -> None:
        self.forgotten.append(uid)


class Watched:
    """Nodes that are watched, and a pod of the resource on n1."""

    def __init__(self, *taints: str) -> None:
        self.woken: list[Key] = []
        self.others = Everybody()
        self.places = Places(self.others)
        self.ready = asyncio.Event()
        self.ready.set()
        self.nodes = Nodes(
            taints or TAINTS, self.places, self.woken.append, paging=asyncio.Semaphore(1), ready=self.ready
        )
        self.place("n1")

    def place(self, name: str, uid: str = "uid-pod") -> None:
        found = pod("llm-zone-a", 0, 0)
        found["metadata"]["uid"] = uid
        found["spec"] = {"nodeName": name}
        self.places.see(found)

    def see(self, obj: Obj, event: str = "MODIFIED") -> None:
        self.nodes.see(NODE, event, obj)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_cordon_wakes_who_has_a_pod_there_once_and_its_end_again(watched: Watched) -> None:
    for _ in range(3):
        watched.see(node(cordoned=True))
    assert watched.nodes.notice("n1") == Notice("n1")
    assert watched.woken == [KEY]
    watched.see(node())
    assert watched.nodes.notice("n1") is None
    assert watched.woken == [KEY, KEY]


def test_what_kubelets_report_wakes_nobody_and_is_not_kept(watched: Watched) -> None:
    for number in range(1000):
        watched.see(node(f"n{number}", version=number))
    assert watched.woken == []
    assert watched.nodes._notices == {}


@pytest.mark.parametrize(
    ("found", "notice"),
    [
        pytest.param(node(taints=("nvidia.com/gpu",)), None, id="another taint"),
        pytest.param(node(taints=("karpenter.sh/disrupted",)), Notice("n1", "karpenter.sh/disrupted"), id="a taint"),
        pytest.param(node(taints=(CORDON,)), Notice("n1"), id="the taint of a cordon"),
        pytest.param(node(cordoned=True, taints=("karpenter.sh/disrupted",)), Notice("n1"), id="both"),
    ],
)
def test_taints_that_announce_maintenance(watched: Watched, found: Obj, notice: Notice | None) -> None:
    watched.see(found)
    assert watched.nodes.notice("n1") == notice


def test_a_cordon_may_be_left_out_of_the_list() -> None:
    watched = Watched("karpenter.sh/disrupted")
    watched.see(node(cordoned=True, taints=(CORDON,)))
    assert watched.nodes.notice("n1") is None


def test_who_has_no_pod_there_is_not_woken(watched: Watched) -> None:
    watched.see(node("n2", cordoned=True))
    assert watched.woken == []
    watched.place("n2", "uid-other")
    watched.places.forget("uid-other")
    watched.see(node("n2"))
    assert watched.woken == []
    assert watched.others.forgotten == ["uid-other"]
    assert watched.others.seen == ["uid-pod", "uid-other"], "others are told of every pod"


def test_a_node_that_is_gone_is_in_maintenance_no_more(watched: Watched) -> None:
    watched.see(node(cordoned=True))
    watched.see(node(cordoned=True), "DELETED")
    assert watched.nodes.notice("n1") is None


async def test_a_list_tells_of_all_and_forgets_what_it_does_not_show(watched: Watched) -> None:
    kube = FakeKube()
    watched.see(node("n0", cordoned=True))
    kube.add(NODE, node(cordoned=True))
    known = [watched.nodes.known]
    await read(kube, watched.nodes, NODES)
    assert [*known, watched.nodes.known] == [False, True]
    assert watched.nodes.notice("n0") is None
    assert watched.nodes.notice("n1") == Notice("n1")
    assert watched.woken == [KEY, KEY], "by the node, and because nothing was decided before"
    await read(kube, watched.nodes, NODES)
    assert watched.woken == [KEY, KEY]


def test_nobody_is_woken_before_the_store_knows_what_there_is(watched: Watched) -> None:
    watched.ready.clear()
    watched.see(node(cordoned=True))
    watched.nodes.listed(NODES, {("", "n1")}, 5)
    assert watched.woken == []
    assert watched.nodes.notice("n1") == Notice("n1")


def test_nodes_that_may_not_be_read_are_in_no_maintenance(watched: Watched) -> None:
    watched.see(node(cordoned=True))
    watched.nodes.set_aside(NODES, ServerError("no answer", status=500))
    assert watched.nodes.notice("n1") == Notice("n1"), "what is known stands"
    watched.nodes.refused(NODES, Forbidden("nodes is forbidden", status=403))
    assert watched.nodes.notice("n1") is None
    assert watched.nodes.known
    watched.see(node(cordoned=True))
    watched.nodes.unserved(NODES)
    assert watched.nodes.notice("n1") is None


def test_all_nodes_are_watched() -> None:
    assert selector(NODE) == ""
