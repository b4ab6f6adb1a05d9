"""Nodes that do not answer: told from the pods, with the way out, and by force where that is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.controller_samples import pod, resource
from tests.unit.test_controller_failures import Failing
from tests.unit.test_controller_rights import ALL, Reviews, rights
from trireme_operator.controller.lost import lost, next_judgement
from trireme_operator.controller.rights import Right
from trireme_operator.controller.times import timestamp
from trireme_operator.kube import POD, Obj

NOW = 1_800_000_000
READY_BY_KUBELET = {"type": "ContainersReady", "status": "True"}
TAINTED = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
DELETE_PODS = Right("delete", "", "pods")


def member(*conditions: Obj, due: int | None = None, running: bool = True) -> Obj:
    """A pod that is not ready; `due` seconds from now it should have ended."""
    found = pod("llm", 0, 1, ready=False)
    found["spec"] = {"nodeName": "node-7"}
    found["status"]["conditions"] += conditions
    if not running:
        found["status"]["containerStatuses"] = [{"name": "engine", "state": {"terminated": {"exitCode": 0}}}]
    if due is not None:
        found["metadata"]["deletionTimestamp"] = timestamp(NOW + due)
    return found


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(member(), False, id="not ready, says its kubelet"),
        pytest.param(member(READY_BY_KUBELET), True, id="not ready, says somebody in its kubelet's place"),
        pytest.param(member(READY_BY_KUBELET, due=60), False, id="it may still end in time"),
        pytest.param(member(READY_BY_KUBELET, due=-9), False, id="a kubelet may be late"),
        pytest.param(member(READY_BY_KUBELET, due=-10), True, id="it should have ended"),
        pytest.param(member(TAINTED, due=-10), True, id="given up by the taint manager"),
        pytest.param(member(TAINTED, due=60), False, id="a taint by hand: the kubelet is ending it"),
        pytest.param(member(due=-60), False, id="late, and its kubelet speaks for it"),
        pytest.param(member(TAINTED, due=-60, running=False), False, id="its kubelet has ended it"),
    ],
)
def test_a_pod_is_lost_when_others_speak_for_its_kubelet(found: Obj, expected: bool) -> None:
    assert lost(found, now=NOW) is expected


def test_judgements_that_nobody_announces_are_looked_for_in_time() -> None:
    late, forced = member(TAINTED, due=20), member(TAINTED, due=-30)
    assert next_judgement([member(), member(due=5)], now=NOW) is None
    assert next_judgement([late], now=NOW) == 30
    assert next_judgement([late, forced], now=NOW) == 30
    assert next_judgement([forced], now=NOW) == 30
    assert next_judgement([member(TAINTED, due=-100)], now=NOW) is None


class Lost(Failing):
    """A group whose worker stood on a node that went away; it was deleted, and should have ended just now."""

    @classmethod
    async def happened(cls, **spec: Any) -> Lost:
        world = cls(**spec)
        await world.reconcile()
        world.observe_groups()
        world.start()
        live = world.kube.one(POD, "llm-zone-a-0-1")
        live["spec"] = {"nodeName": "node-7"}
        live["metadata"] |= {"deletionTimestamp": timestamp(world.time), "deletionGracePeriodSeconds": 120}
        live["status"]["conditions"] = [{"type": "Ready", "status": "False"}, READY_BY_KUBELET, TAINTED]
        await world.reconcile()
        world.kube.writes.clear()
        return world


async def test_the_status_names_the_node_and_the_way_out() -> None:
    world = await Lost.happened()
    assert world.condition("Progressing")["reason"] == "Starting"
    world.later(10)
    again = await world.reconcile()
    assert world.condition("Progressing")["reason"] == "NodeLost"
    for words in ("node-7", "kubectl delete node node-7", "replaceLostPods: Force", "--force --grace-period=0"):
        assert words in world.zone["message"]
    assert again is not None
    assert again <= 51 + 1

    world.later(600)
    assert await world.writes() == [], "nothing is done about it unless that is wanted"


async def test_by_force_the_pod_is_deleted_a_minute_after_it_should_have_ended() -> None:
    world = await Lost.happened(failover={"replaceLostPods": "Force"})
    world.later(59)
    assert ("delete in 0 s", "Pod", "llm-zone-a-0-1") not in await world.writes()
    world.later(1)
    assert ("delete in 0 s", "Pod", "llm-zone-a-0-1") in await world.writes()
    assert "llm-zone-a-0" in world.kube.names(POD), "the leader is on a node that answers"


async def test_another_pod_of_the_same_name_is_let_be() -> None:
    world = await Lost.happened(failover={"replaceLostPods": "Force"})
    world.later(60)
    live = world.kube.one(POD, "llm-zone-a-0-1")
    real = world.kube.delete

    async def meanwhile(*arguments: Any, **options: Any) -> None:
        world.kube.add(POD, {**live, "metadata": live["metadata"] | {"uid": "another"}})
        await real(*arguments, **options)

    world.kube.delete = meanwhile  # type: ignore[method-assign]
    await world.reconcile()
    assert world.kube.one(POD, "llm-zone-a-0-1")["metadata"]["uid"] == "another"


async def test_the_right_to_delete_pods_is_missed_by_who_asks_for_force() -> None:
    changes: list[int] = []
    reviews = Reviews(ALL)
    looked = rights(reviews, changes=changes)
    await looked.look()
    assert not looked.missing(resource())
    missing = looked.missing(resource(failover={"replaceLostPods": "Force"}))
    assert missing.rights == (DELETE_PODS,)
    assert not missing.blinds
    assert "delete pods" in str(missing)
    assert "rbac.replaceLostPods=true" in str(missing)
    assert changes == []
    reviews.granted.add(DELETE_PODS)
    await looked.look()
    assert changes == [1], "who waits for it is told"
    assert not looked.missing(resource(failover={"replaceLostPods": "Force"}))
