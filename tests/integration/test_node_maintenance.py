"""Nodes are cordoned and tainted on a real API server: their groups leave rotation first, and come back.

The operator is its own process, with the rights that the chart gives it where maintenance is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.controlplane import ControlPlane
from scripts import chart
from tests.integration.server import CLUSTER_ROLE, Hands, Operator, condition, running_operator, until
from tests.unit.controller_samples import pod, resource
from trireme_operator.controller.nodes import CORDON
from trireme_operator.kube import (
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    NODE,
    POD,
    POD_DISRUPTION_BUDGET,
    Conflict,
    NotFound,
    Obj,
)

ENABLED = ("--set", "nodeMaintenance.enabled=true")
KARPENTER = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}
TAINTS = f"{CORDON},{KARPENTER['key']}"
USER = "node-maintenance"
GROUPS = (0, 1, 2)
SOON_SECONDS = 10.0
"""It takes some 0.1 s; the limit is for a machine that is busy."""


@pytest.fixture(scope="module")
def user(plane: ControlPlane) -> Iterator[Path]:
    """Who has what the chart grants with it, in a release of its own."""
    yield plane.client(USER, common_name=f"system:serviceaccount:{chart.NAMESPACE}:{USER}-trireme")
    plane.kubectl("delete", "clusterrole,clusterrolebinding", f"{USER}-trireme", "--ignore-not-found")


def grant(plane: ControlPlane, *values: str) -> None:
    objects = chart.template(*values, release=USER)
    cluster_wide = [obj for obj in objects if obj["kind"] in {"ClusterRole", "ClusterRoleBinding"}]
    own = [obj for obj in cluster_wide if obj["metadata"]["name"] == f"{USER}-trireme"]
    plane.kubectl("apply", "--server-side", "--filename=-", text=yaml.safe_dump_all(own))


class Scene:
    """A zone with three groups of one pod each, every one on a node of its own."""

    def __init__(self, hands: Hands, namespace: str, operator: Operator) -> None:
        self.hands = hands
        self.namespace = namespace
        self.operator = operator

    def node(self, group: int) -> str:
        return f"{self.namespace}-node-{group}"

    def name(self, group: int) -> str:
        return f"llm-zone-a-{group}"

    async def create(self) -> None:
        for group in GROUPS:
            await self.hands.create(NODE, {"metadata": {"name": self.node(group), "namespace": ""}, "spec": {}})
        zones = [{"name": "zone-a", "replicas": len(GROUPS)}]
        obj = resource(zones=zones, parallelism={"tensor": 1, "pipeline": 1}, gateway=None)
        obj["metadata"] = {"name": "llm", "namespace": self.namespace}
        await self.hands.create(INFERENCE_CLUSTER, obj)
        await until(partial(exists, self.hands, self.namespace, "llm-zone-a"))
        await until(partial(self.says, "Accepted", "Valid"))
        await self.observed()
        for group in GROUPS:
            await self.start(group)
        await until(partial(self.says, "Ready", "AllGroupsReady"))

    async def observed(self) -> None:
        """LeaderWorkerSet's controller has looked at the set."""
        live = await self.hands.api.get(LEADER_WORKER_SET, self.namespace, "llm-zone-a")
        status = {"status": {"observedGeneration": live["metadata"]["generation"], "conditions": []}}
        await self.hands.merge(LEADER_WORKER_SET, self.namespace, "llm-zone-a", status, "status")

    async def start(self, group: int) -> None:
        obj = pod("llm-zone-a", group, 0)
        obj["metadata"]["namespace"] = self.namespace
        obj["metadata"]["annotations"] = {"leaderworkerset.sigs.k8s.io/size": "1"}
        obj["metadata"]["labels"]["trireme.dev/rotation"] = "in"
        obj["spec"] = {"nodeName": self.node(group)}
        obj["status"] = {"conditions": obj["status"]["conditions"]}
        await self.hands.pod(obj)

    async def taint(self, group: int, *taints: dict[str, str]) -> None:
        await self.hands.merge(NODE, "", self.node(group), {"spec": {"taints": list(taints)}})

    async def cordon(self, group: int, *, value: bool = True) -> None:
        await self.hands.merge(NODE, "", self.node(group), {"spec": {"unschedulable": value or None}})

    async def rotation(self, group: int) -> tuple[str | None, str | None]:
        labels = (await self.hands.api.get(POD, self.namespace, self.name(group)))["metadata"]["labels"]
        return labels.get("trireme.dev/rotation"), labels.get("trireme.dev/rotation-reason")

    async def is_out(self, *groups: int) -> bool:
        found = {group: await self.rotation(group) for group in GROUPS}
        wanted = {group: ("out", "NodeMaintenance") if group in groups else ("in", None) for group in GROUPS}
        return found == wanted

    async def says(self, kind: str, reason: str, *words: str) -> bool:
        found = await condition(self.hands, self.namespace, kind)
        return found.get("reason") == reason and all(word in found["message"] for word in words)

    async def status(self) -> Any:
        return (await self.hands.api.get(INFERENCE_CLUSTER, self.namespace, "llm")).get("status") or {}

    def reconciles(self) -> float:
        return sum(value for name, value in self.operator.metrics().items() if name.startswith("trireme_reconcile_tot"))


async def exists(hands: Hands, namespace: str, name: str) -> bool:
    try:
        await hands.api.get(LEADER_WORKER_SET, namespace, name)
    except NotFound:
        return False
    return True


@asynccontextmanager
async def at_work(hands: Hands, namespace: str, user: Path, log: Path) -> AsyncIterator[Scene]:
    environment = {"TRIREME_NODE_MAINTENANCE": TAINTS}
    with running_operator(user, log, namespaces=namespace, environment=environment) as operator:
        scene = Scene(hands, namespace, operator)
        try:
            await operator.ready()
            await scene.create()
            yield scene
        finally:
            for group in GROUPS:
                with contextlib.suppress(NotFound, Conflict):
                    await hands.delete(NODE, "", scene.node(group))


async def test_groups_leave_before_their_nodes_and_come_back(
    plane: ControlPlane, hands: Hands, namespace: str, user: Path, tmp_path: Path
) -> None:
    grant(plane, *ENABLED)
    async with at_work(hands, namespace, user, tmp_path / "operator.log") as scene:
        await scene.cordon(1)
        await until(partial(scene.is_out, 1), seconds=SOON_SECONDS)
        words = (f"node {scene.node(1)} is cordoned", f"kubectl uncordon {scene.node(1)}")
        await until(partial(scene.says, "Progressing", "NodeMaintenance", *words))
        assert (await scene.status())["zones"][0]["readyGroups"] == 3, "it is whole, and its pods count as available"

        await scene.taint(2, KARPENTER)
        await heartbeats(scene)
        assert await scene.is_out(1), "one of the zone at a time"

        await scene.cordon(1, value=False)
        await until(partial(scene.is_out, 2), seconds=SOON_SECONDS)
        await until(partial(scene.says, "Progressing", "NodeMaintenance", f"has the taint {KARPENTER['key']}"))

        await evict(scene, 2)
        await until(partial(scene.says, "Progressing", "Starting"))
        await hands.delete(NODE, "", scene.node(2))
        await until(partial(gone, scene, 2))
        await scene.taint(0)
        await scene.start(2)
        await until(partial(scene.says, "Ready", "AllGroupsReady"))
        assert await scene.is_out()
        log = scene.operator.log.read_text()
        assert "orbidden" not in log, log[-3000:]


async def heartbeats(scene: Scene) -> None:
    """What kubelets report is no news."""
    await asyncio.sleep(1)
    before = scene.reconciles()
    for number in range(40):
        seen = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": str(number)}
        await scene.hands.merge(NODE, "", scene.node(number % 3), {"status": {"conditions": [seen]}}, "status")
    await asyncio.sleep(1)
    assert scene.reconciles() - before <= 2, "forty reports of nodes woke the resource"


async def evict(scene: Scene, group: int) -> None:
    """As `kubectl drain` does, where the disruption controller has counted the ready pods: with traffic or without."""
    budget = await scene.hands.api.get(POD_DISRUPTION_BUDGET, scene.namespace, "llm-zone-a")
    ready = [
        item
        for item in await scene.hands.api.list(POD, scene.namespace, labels=selected_by(budget))
        if item["status"]["conditions"][0]["status"] == "True"
    ]
    assert len(ready) == len(GROUPS), "the one that is out of rotation is among them"
    counted = {"expectedPods": 3, "currentHealthy": len(ready), "desiredHealthy": 2, "disruptionsAllowed": 1}
    status = {"status": counted | {"observedGeneration": budget["metadata"]["generation"]}}
    await scene.hands.merge(POD_DISRUPTION_BUDGET, scene.namespace, "llm-zone-a", status, "status")
    metadata = {"name": scene.name(group), "namespace": scene.namespace}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    path = POD.path(scene.namespace, scene.name(group), "eviction")
    await scene.hands.api._call("POST", POD, path, body=body, is_object=False)


def selected_by(budget: Obj) -> str:
    return ",".join(f"{key}={value}" for key, value in budget["spec"]["selector"]["matchLabels"].items())


async def gone(scene: Scene, group: int) -> bool:
    """No kubelet ends the pod that was evicted."""
    path = POD.path(scene.namespace, scene.name(group))
    with contextlib.suppress(NotFound):
        await scene.hands.api._call("DELETE", POD, path, query={"gracePeriodSeconds": "0"}, is_object=True)
        return False
    return True


async def test_without_the_right_the_resource_says_so_and_heals(
    plane: ControlPlane, hands: Hands, namespace: str, user: Path, tmp_path: Path
) -> None:
    grant(plane, *ENABLED)
    path = f"{CLUSTER_ROLE.path()}/{USER}-trireme"
    rules = (await hands.api._call("GET", CLUSTER_ROLE, path, is_object=True))["rules"]
    async with at_work(hands, namespace, user, tmp_path / "operator.log") as scene:
        kept = {"rules": [rule for rule in rules if "nodes" not in rule["resources"]]}
        await hands._patch(path, kept, "application/merge-patch+json", {})
        words = ("list nodes, watch nodes", "nodeMaintenance.enabled=true")
        await until(partial(scene.says, "Accepted", "MissingPermission", *words), seconds=90)
        assert await scene.is_out()

        await hands._patch(path, {"rules": rules}, "application/merge-patch+json", {})
        await until(partial(scene.says, "Accepted", "Valid"), seconds=30)
        await scene.cordon(0)
        await until(partial(scene.is_out, 0), seconds=30)
