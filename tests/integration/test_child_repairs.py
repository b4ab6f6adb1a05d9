"""Every kind of child, damaged by hand in every way: the operator's real process brings back what was rendered."""

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.server import Hands, Operator, until
from tests.unit.controller_samples import resource
from trireme_operator.controller.scope import CHILD_KINDS
from trireme_operator.kube import (
    BACKEND_TRAFFIC_POLICY,
    CONTROLLER_REVISION,
    HORIZONTAL_POD_AUTOSCALER,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    INFERENCE_POOL,
    LEADER_WORKER_SET,
    NETWORK_POLICY,
    POD_DISRUPTION_BUDGET,
    POD_MONITOR,
    SCALED_OBJECT,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
    NotFound,
    Obj,
)

COUNTS: dict[Kind, int] = {
    LEADER_WORKER_SET: 2,
    SERVICE: 3,
    SERVICE_ACCOUNT: 1,
    CONTROLLER_REVISION: 1,
    POD_DISRUPTION_BUDGET: 2,
    NETWORK_POLICY: 2,
    POD_MONITOR: 1,
    HORIZONTAL_POD_AUTOSCALER: 2,
    SCALED_OBJECT: 0,
    INFERENCE_POOL: 2,
    BACKEND_TRAFFIC_POLICY: 1,
    HTTP_ROUTE: 1,
}
BY_KEDA: dict[Kind, int] = COUNTS | {HORIZONTAL_POD_AUTOSCALER: 0, SCALED_OBJECT: 2}
SPEC: dict[str, Any] = {
    "autoscaling": {"maxReplicas": 4, "metrics": {"cpu": 70}},
    "resources": {"requests": {"cpu": "1"}},
    "gateway": {
        "parentRefs": [{"name": "edge", "namespace": "infra"}],
        "hostnames": ["llm.example.com"],
        "policy": "AggressiveRetry",
        "endpointPicker": {"failureMode": "FailClose"},
    },
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}],
        "monitoring": [{"podSelector": {}}],
    },
    "service": {"type": "LoadBalancer", "profile": "aws-nlb", "trafficDistribution": "PreferSameZone"},
}
REPAIR_SECONDS = 5.0
"""For one repair, on a machine that does other things besides."""
LETS_ANYBODY_IN: Obj = {"from": [{"namespaceSelector": {}}]}
EDITS: dict[Kind, list[Obj]] = {
    LEADER_WORKER_SET: [
        {"spec": {"leaderWorkerTemplate": {"size": 7}}},
        {"spec": {"leaderWorkerTemplate": {"workerTemplate": {"spec": {"nodeSelector": {"nowhere": "1"}}}}}},
    ],
    SERVICE: [
        {"spec": {"selector": {"trireme.dev/zone": "moon"}}},
        {"spec": {"ports": [{"name": "http", "port": 81, "targetPort": "http"}]}},
    ],
    SERVICE_ACCOUNT: [{"automountServiceAccountToken": True}],
    CONTROLLER_REVISION: [{"metadata": {"annotations": {"trireme.dev/rendered-hash": "x"}}}],
    POD_DISRUPTION_BUDGET: [
        {"spec": {"maxUnavailable": 3}},
        {"spec": {"maxUnavailable": "100%"}},
        {"spec": {"unhealthyPodEvictionPolicy": "IfHealthyBudget"}},
        {"spec": {"selector": {"matchLabels": {"nowhere": "1"}}}},
    ],
    NETWORK_POLICY: [
        {"spec": {"ingress": None}},
        {"spec": {"ingress": [{}]}},
        {"spec": {"ingress": [LETS_ANYBODY_IN]}},
        {"spec": {"podSelector": {"matchLabels": {"nowhere": "1"}}}},
        {"spec": {"policyTypes": ["Egress"]}},
    ],
    POD_MONITOR: [
        {"spec": {"podMetricsEndpoints": [{"port": "http", "interval": "1s"}]}},
        {"spec": {"selector": {"matchLabels": {"nowhere": "1"}}}},
    ],
    HORIZONTAL_POD_AUTOSCALER: [
        {"spec": {"maxReplicas": 9}},
        {"spec": {"metrics": None}},
        {"spec": {"scaleTargetRef": {"name": "another"}}},
    ],
    SCALED_OBJECT: [
        {"spec": {"maxReplicaCount": 9}},
        {"spec": {"triggers": [{"type": "cron", "metadata": {}}]}},
        {"spec": {"scaleTargetRef": {"name": "another"}}},
    ],
    INFERENCE_POOL: [
        {"spec": {"selector": {"matchLabels": {"trireme.dev/zone": "moon"}}}},
        {"spec": {"targetPorts": [{"number": 1}]}},
        {"spec": {"endpointPickerRef": {"name": "another", "failureMode": "FailOpen"}}},
    ],
    BACKEND_TRAFFIC_POLICY: [{"spec": {"retry": {"numRetries": 9}}}, {"spec": {"healthCheck": {"active": None}}}],
    HTTP_ROUTE: [{"spec": {"hostnames": ["evil.example.com"]}}],
}


Made = dict[tuple[str, str], Obj]
"""Children by kind and name."""
LookFn = Callable[[Obj], Obj]
"""What is compared of a child."""


def kept(obj: Obj) -> Obj:
    """What the operator made of a child, without what changes by itself."""
    found = {key: value for key, value in obj.items() if key != "status"}
    found["metadata"] = {key: obj["metadata"].get(key) for key in ("name", "labels", "annotations", "ownerReferences")}
    return found


async def children(hands: Hands, namespace: str) -> Made:
    return {
        (kind.kind, obj["metadata"]["name"]): kept(obj)
        for kind in CHILD_KINDS
        for obj in await hands.api.list(kind, namespace, labels="trireme.dev/cluster=llm")
    }


def whole(made: Made, wanted: dict[Kind, int]) -> bool:
    counts = {kind.kind: sum(key[0] == kind.kind for key in made) for kind in CHILD_KINDS}
    replicas = sum(obj["spec"]["replicas"] for (kind, _), obj in made.items() if kind == LEADER_WORKER_SET.kind)
    return counts == {kind.kind: count for kind, count in wanted.items()} and replicas == 3


class Served:
    """A resource for all tests: each leaves it as it was, or the next gets a new one."""

    def __init__(self, hands: Hands, namespace: str, wanted: dict[Kind, int]) -> None:
        self.hands = hands
        self.namespace = namespace
        self.before: Made = {}
        self.is_whole = False
        """Whether nobody touched anything since `before` was seen."""
        self._wanted = wanted

    async def create(self, autoscaling: Obj) -> None:
        await self.hands.namespace(self.namespace)
        obj = resource(**{**SPEC, "autoscaling": autoscaling})
        await self.hands.create(INFERENCE_CLUSTER, {**obj, "metadata": {"name": "llm", "namespace": self.namespace}})
        await until(self.looks_whole)

    async def looks_whole(self) -> bool:
        self.before = await children(self.hands, self.namespace)
        return whole(self.before, self._wanted)

    def victim(self, kind: Kind) -> str:
        return min(name for of, name in self.before if of == kind.kind)

    async def repaired(self, kind: Kind, name: str, look: LookFn = kept) -> None:
        """One child is as it was before."""
        wanted = look(self.before[kind.kind, name])
        seen: list[Obj] = []

        async def as_before() -> bool:
            with contextlib.suppress(NotFound):
                seen.append(look(await self.hands.api.get(kind, self.namespace, name)))
            return seen[-1:] == [wanted]

        try:
            await until(as_before, seconds=REPAIR_SECONDS)
        except AssertionError:
            assert seen[-1:] == [wanted]  # shows what is different
            raise

    async def all_repaired(self, look: LookFn = kept) -> None:
        """Every child is as it was before, and there is no other."""
        wanted = {key: look(obj) for key, obj in self.before.items()}
        seen: list[Made] = []

        async def as_before() -> bool:
            seen.append(await children(self.hands, self.namespace))
            return {key: look(obj) for key, obj in seen[-1].items()} == wanted

        try:
            await until(as_before, seconds=REPAIR_SECONDS)
        except AssertionError:
            assert seen[-1] == self.before  # shows what is different
            raise
        self.before, self.is_whole = seen[-1], True


@pytest.fixture(scope="module")
def shared() -> list[Served]:
    """The resources that were made, the one in use last."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def served(
    request: pytest.FixtureRequest, hands: Hands, shared: list[Served], operator_process: Operator
) -> Served:
    """A ScaledObject takes the place of an autoscaler, so its tests have a resource of their own."""
    case = getattr(request.node, "callspec", None)
    by_keda = case is not None and case.params.get("kind") == SCALED_OBJECT
    prefix, wanted = ("keda", BY_KEDA) if by_keda else ("repairs", COUNTS)
    known = [each for each in shared if each.namespace.startswith(prefix)]
    if known and (known[-1].is_whole or await known[-1].looks_whole()):
        found = known[-1]
    else:
        found = Served(hands, f"{prefix}-{len(shared)}", wanted)
        await found.create(SPEC["autoscaling"] | ({"source": "KEDA"} if by_keda else {}))
        shared.append(found)
    found.is_whole = False
    return found


def test_every_kind_is_counted_and_edited() -> None:
    assert set(COUNTS) == set(EDITS) == set(CHILD_KINDS)


@pytest.mark.parametrize("kind", CHILD_KINDS, ids=lambda kind: kind.kind)
async def test_a_deleted_child_is_made_again(hands: Hands, served: Served, kind: Kind) -> None:
    name = served.victim(kind)
    await hands.delete(kind, served.namespace, name)
    await served.repaired(kind, name, without_addresses)
    await served.all_repaired(without_addresses)


def without_addresses(obj: Obj) -> Obj:
    """What the API server allots to a Service is something else after it was deleted."""
    obj = kept(obj)
    if obj["kind"] != SERVICE.kind:
        return obj
    spec = {key: value for key, value in obj["spec"].items() if key not in {"clusterIP", "clusterIPs"}}
    ports = [{key: value for key, value in port.items() if key != "nodePort"} for port in spec["ports"]]
    return {**obj, "spec": {**spec, "ports": ports}}


@pytest.mark.parametrize(
    "stripped",
    [
        {"labels": None},
        {"annotations": None},
        {"ownerReferences": None},
        {"labels": {"trireme.dev/cluster": "another"}},
        {"labels": {"app.kubernetes.io/managed-by": "Helm"}},
    ],
    ids=["labels", "annotations", "owner references", "another resource's", "another manager's"],
)
@pytest.mark.parametrize("kind", CHILD_KINDS, ids=lambda kind: kind.kind)
async def test_metadata_is_repaired(hands: Hands, served: Served, kind: Kind, stripped: Obj) -> None:
    name = served.victim(kind)
    await hands.merge(kind, served.namespace, name, {"metadata": stripped})
    await served.repaired(kind, name)
    await served.all_repaired()


@pytest.mark.parametrize("kind", CHILD_KINDS, ids=lambda kind: kind.kind)
async def test_an_edit_by_hand_is_undone(hands: Hands, served: Served, kind: Kind) -> None:
    name = served.victim(kind)
    for edit in EDITS[kind]:
        await hands.merge(kind, served.namespace, name, edit)
        await served.repaired(kind, name)
    await served.all_repaired()


@pytest.mark.parametrize("kind", CHILD_KINDS, ids=lambda kind: kind.kind)
async def test_what_others_add_stays_through_a_repair(hands: Hands, served: Served, kind: Kind) -> None:
    name = served.victim(kind)
    added = {"metadata": {"labels": {"team": "genai"}, "annotations": {"example.com/note": "kept"}}}
    await hands.merge(kind, served.namespace, name, added)
    ours = served.before[kind.kind, name]
    theirs = copy.deepcopy(ours)
    theirs["metadata"]["labels"] |= {"team": "genai"}
    theirs["metadata"]["annotations"] |= {"example.com/note": "kept"}
    served.before[kind.kind, name] = theirs
    await hands.merge(kind, served.namespace, name, EDITS[kind][0])
    await served.repaired(kind, name)
    await served.all_repaired()
    taken_away = {"labels": {"team": None}, "annotations": {"example.com/note": None}}
    await hands.merge(kind, served.namespace, name, {"metadata": taken_away})
    served.before[kind.kind, name] = ours


async def test_a_fixed_number_of_groups_set_by_hand_is_undone(
    hands: Hands, namespace: str, operator_process: Operator
) -> None:
    await hands.create(INFERENCE_CLUSTER, {**resource(), "metadata": {"name": "llm", "namespace": namespace}})

    async def groups() -> list[int]:
        sets = await hands.api.list(LEADER_WORKER_SET, namespace)
        return sorted(obj["spec"]["replicas"] for obj in sets)

    async def as_wanted() -> bool:
        return await groups() == [1, 2]

    await until(as_wanted)
    await hands.merge(LEADER_WORKER_SET, namespace, "llm-zone-b", {"spec": {"replicas": 9}})
    await until(as_wanted, seconds=REPAIR_SECONDS)


async def test_kinds_that_are_no_longer_asked_for_go_and_come_back(hands: Hands, served: Served) -> None:
    namespace, before = served.namespace, served.before
    off = {"spec": {"networkPolicy": None, "monitoring": {"podMonitor": "Never"}, "gateway": None}}
    await hands.merge(INFERENCE_CLUSTER, namespace, "llm", off)

    async def gone() -> bool:
        left = {kind for kind, _ in await children(hands, namespace)}
        return not left & {NETWORK_POLICY.kind, POD_MONITOR.kind, HTTP_ROUTE.kind, INFERENCE_POOL.kind}

    await until(gone)
    assert {key for key in before if key[0] == POD_DISRUPTION_BUDGET.kind} <= set(await children(hands, namespace))
    spec = resource(**SPEC)["spec"]
    on = {"networkPolicy": spec["networkPolicy"], "monitoring": None, "gateway": spec["gateway"]}
    await hands.merge(INFERENCE_CLUSTER, namespace, "llm", {"spec": on})
    await served.all_repaired()


async def test_a_policy_of_somebody_else_is_not_taken_over(
    hands: Hands, namespace: str, operator_process: Operator
) -> None:
    spec = {"podSelector": {}, "policyTypes": ["Ingress"]}
    await hands.create(NETWORK_POLICY, {"metadata": {"name": "llm-zone-a", "namespace": namespace}, "spec": spec})
    obj = resource(**SPEC)
    await hands.create(INFERENCE_CLUSTER, {**obj, "metadata": {"name": "llm", "namespace": namespace}})

    async def told() -> bool:
        status = (await hands.api.get(INFERENCE_CLUSTER, namespace, "llm")).get("status") or {}
        accepted = [item for item in status.get("conditions") or [] if item["type"] == "Accepted"]
        return bool(accepted) and accepted[0]["reason"] == "NameConflict"

    await until(told)
    live = await hands.api.get(NETWORK_POLICY, namespace, "llm-zone-a")
    assert live["spec"] == spec
    assert (await hands.api.get(NETWORK_POLICY, namespace, "llm-zone-b"))["spec"] != spec
