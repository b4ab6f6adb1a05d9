"""Every kind of child, damaged by hand in every way: the operator's real process brings back what was rendered."""

import copy
from typing import Any

import pytest

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


async def children(hands: Hands, namespace: str) -> dict[tuple[str, str], Obj]:
    """What the operator made of each child, without what changes by itself."""
    found = {}
    for kind in CHILD_KINDS:
        for obj in await hands.api.list(kind, namespace, labels="trireme.dev/cluster=llm"):
            kept = {key: value for key, value in obj.items() if key != "status"}
            kept["metadata"] = {
                key: obj["metadata"].get(key) for key in ("name", "labels", "annotations", "ownerReferences")
            }
            found[kind.kind, obj["metadata"]["name"]] = kept
    return found


async def whole(hands: Hands, namespace: str, wanted: dict[Kind, int]) -> bool:
    made = await children(hands, namespace)
    counts = {kind.kind: sum(key[0] == kind.kind for key in made) for kind in CHILD_KINDS}
    replicas = sum(obj["spec"]["replicas"] for (kind, _), obj in made.items() if kind == LEADER_WORKER_SET.kind)
    return counts == {kind.kind: count for kind, count in wanted.items()} and replicas == 3


@pytest.fixture(scope="module")
def shared() -> list[str]:
    """The namespaces in which a resource was made, the one in use last."""
    return []


@pytest.fixture
async def served(request: pytest.FixtureRequest, hands: Hands, shared: list[str], operator_process: Operator) -> str:
    """The namespace of one resource for all tests: each leaves it as it was, or the next gets a new one.

    A ScaledObject takes the place of an autoscaler, so its tests have a resource of their own.
    """
    case = getattr(request.node, "callspec", None)
    by_keda = case is not None and case.params.get("kind") == SCALED_OBJECT
    prefix, wanted = ("keda", BY_KEDA) if by_keda else ("repairs", COUNTS)
    known = [name for name in shared if name.startswith(prefix)]
    if not known or not await whole(hands, known[-1], wanted):
        namespace = f"{prefix}-{len(shared)}"
        await hands.namespace(namespace)
        scaling = SPEC["autoscaling"] | ({"source": "KEDA"} if by_keda else {})
        obj = resource(**{**SPEC, "autoscaling": scaling})
        await hands.create(INFERENCE_CLUSTER, {**obj, "metadata": {"name": "llm", "namespace": namespace}})
        await until(lambda: whole(hands, namespace, wanted))
        shared.append(namespace)
        return namespace
    return known[-1]


def test_every_kind_is_counted_and_edited() -> None:
    assert set(COUNTS) == set(EDITS) == set(CHILD_KINDS)


async def repaired(hands: Hands, namespace: str, before: dict[tuple[str, str], Obj]) -> None:
    async def as_before() -> bool:
        return await children(hands, namespace) == before

    try:
        await until(as_before, seconds=REPAIR_SECONDS)
    except AssertionError:
        assert await children(hands, namespace) == before  # shows what is different
        raise


async def victim(hands: Hands, namespace: str, kind: Kind) -> str:
    found = await hands.api.list(kind, namespace, labels="trireme.dev/cluster=llm")
    return min(str(obj["metadata"]["name"]) for obj in found)


@pytest.mark.parametrize("kind", CHILD_KINDS, ids=lambda kind: kind.kind)
async def test_a_deleted_child_is_made_again(hands: Hands, served: str, kind: Kind) -> None:
    before, name = await children(hands, served), await victim(hands, served, kind)
    for obj in before.values():
        _forget_addresses(obj)
    await hands.delete(kind, served, name)

    async def back() -> bool:
        now = await children(hands, served)
        for obj in now.values():
            _forget_addresses(obj)
        return now == before

    await until(back, seconds=REPAIR_SECONDS)


def _forget_addresses(obj: Obj) -> None:
    """What the API server allots to a Service."""
    if obj["kind"] == SERVICE.kind:
        for field in ("clusterIP", "clusterIPs"):
            obj["spec"].pop(field, None)
        for port in obj["spec"]["ports"]:
            port.pop("nodePort", None)


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
async def test_metadata_is_repaired(hands: Hands, served: str, kind: Kind, stripped: Obj) -> None:
    before, name = await children(hands, served), await victim(hands, served, kind)
    await hands.merge(kind, served, name, {"metadata": stripped})
    await repaired(hands, served, before)


@pytest.mark.parametrize("kind", CHILD_KINDS, ids=lambda kind: kind.kind)
async def test_an_edit_by_hand_is_undone(hands: Hands, served: str, kind: Kind) -> None:
    before, name = await children(hands, served), await victim(hands, served, kind)
    for edit in EDITS[kind]:
        await hands.merge(kind, served, name, edit)
        await repaired(hands, served, before)


@pytest.mark.parametrize("kind", CHILD_KINDS, ids=lambda kind: kind.kind)
async def test_what_others_add_stays_through_a_repair(hands: Hands, served: str, kind: Kind) -> None:
    before, name = await children(hands, served), await victim(hands, served, kind)
    added = {"metadata": {"labels": {"team": "genai"}, "annotations": {"example.com/note": "kept"}}}
    await hands.merge(kind, served, name, added)
    kept = copy.deepcopy(before)
    metadata = kept[kind.kind, name]["metadata"]
    metadata["labels"] |= {"team": "genai"}
    metadata["annotations"] |= {"example.com/note": "kept"}
    await hands.merge(kind, served, name, EDITS[kind][0])
    await repaired(hands, served, kept)
    taken_away = {"labels": {"team": None}, "annotations": {"example.com/note": None}}
    await hands.merge(kind, served, name, {"metadata": taken_away})


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


async def test_kinds_that_are_no_longer_asked_for_go_and_come_back(hands: Hands, served: str) -> None:
    before = await children(hands, served)
    off = {"spec": {"networkPolicy": None, "monitoring": {"podMonitor": "Never"}, "gateway": None}}
    await hands.merge(INFERENCE_CLUSTER, served, "llm", off)

    async def gone() -> bool:
        left = {kind for kind, _ in await children(hands, served)}
        return not left & {NETWORK_POLICY.kind, POD_MONITOR.kind, HTTP_ROUTE.kind, INFERENCE_POOL.kind}

    await until(gone)
    assert {key for key in before if key[0] == POD_DISRUPTION_BUDGET.kind} <= set(await children(hands, served))
    spec = resource(**SPEC)["spec"]
    on = {"networkPolicy": spec["networkPolicy"], "monitoring": None, "gateway": spec["gateway"]}
    await hands.merge(INFERENCE_CLUSTER, served, "llm", {"spec": on})
    await repaired(hands, served, before)


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
