"""The operator's real process, with the rights of its ClusterRole, on a real API server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.integration.server import Hands, Operator, condition, running_operator, until
from tests.unit.controller_samples import pod, resource
from trireme_operator.kube import (
    CONTROLLER_REVISION,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    SERVICE_ACCOUNT,
    Obj,
)

CHILDREN = {
    LEADER_WORKER_SET: 2,
    SERVICE: 3,
    SERVICE_ACCOUNT: 1,
    CONTROLLER_REVISION: 1,
    POD_DISRUPTION_BUDGET: 2,
    HTTP_ROUTE: 1,
}


def manifest(namespace: str, name: str = "llm", **spec: Any) -> Obj:
    obj = resource(**spec)
    obj["metadata"] = {"name": name, "namespace": namespace}
    return obj


async def complete(hands: Hands, namespace: str) -> bool:
    """Whether every child is there and the status says so for this generation."""
    for kind, count in CHILDREN.items():
        if len(await hands.api.list(kind, namespace, labels="trireme.dev/cluster=llm")) != count:
            return False
    sets = await hands.api.list(LEADER_WORKER_SET, namespace)
    live = await hands.api.get(INFERENCE_CLUSTER, namespace, "llm")
    seen = (live.get("status") or {}).get("observedGeneration") == live["metadata"]["generation"]
    return bool(seen) and sum(obj["spec"]["replicas"] for obj in sets) == 3


async def created(hands: Hands, namespace: str) -> None:
    await hands.create(INFERENCE_CLUSTER, manifest(namespace))
    await until(lambda: complete(hands, namespace))


async def versions(hands: Hands, namespace: str) -> dict[tuple[str, str], str]:
    found = {}
    for kind in (INFERENCE_CLUSTER, *CHILDREN):
        for obj in await hands.api.list(kind, namespace):
            found[kind.kind, obj["metadata"]["name"]] = obj["metadata"]["resourceVersion"]
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def served(hands: Hands, namespace: str, operator_process: Operator) -> str:
    """A namespace with a resource whose children are all there."""
    await created(hands, namespace)
    return namespace


async def test_the_same_manifest_again_changes_nothing_and_at_rest_nothing_is_written(
    hands: Hands, namespace: str, operator_kubeconfig: Path, operator_process: Operator, tmp_path: Path
) -> None:
    """By an operator of this namespace alone: what other tests left behind is none of its business."""
    obj = {"apiVersion": INFERENCE_CLUSTER.api_version, "kind": INFERENCE_CLUSTER.kind} | manifest(namespace)
    log = tmp_path / "operator.log"
    with (
        operator_process.paused(),
        running_operator(operator_kubeconfig, log, namespaces=namespace) as operator,
    ):
        await operator.ready()
        await created(hands, namespace)
        await hands.api.apply(INFERENCE_CLUSTER, obj, manager="user")
        await until(lambda: _at_rest(operator))
        before, writes = await versions(hands, namespace), _writes(operator)
        assert writes, "it made the children"
        await hands.api.apply(INFERENCE_CLUSTER, obj, manager="user")
        await asyncio.sleep(3)
        assert await versions(hands, namespace) == before
        assert _writes(operator) == writes


async def _at_rest(operator: Operator) -> bool:
    """Whether nothing was written for a second."""
    before = _writes(operator)
    await asyncio.sleep(1)
    return _writes(operator) == before


def _writes(operator: Operator) -> dict[str, float]:
    """Requests that may store something, by kind and answer; a review of the rights stores nothing."""
    calls = {name: value for name, value in operator.metrics().items() if name.startswith("trireme_api_requests_total")}
    return {name: value for name, value in calls.items() if 'verb="GET"' not in name and "reviews" not in name}


async def test_kopf_writes_nothing_to_the_resource(hands: Hands, served: str) -> None:
    live = await hands.api.get(INFERENCE_CLUSTER, served, "llm")
    assert "finalizers" not in live["metadata"]
    assert "annotations" not in live["metadata"]
    writers = {(entry["manager"], entry.get("subresource", "")) for entry in live["metadata"]["managedFields"]}
    assert {entry for entry in writers if entry[1]} == {("trireme", "status")}
    assert len(writers) == 2, "whoever created it, and our status"


async def test_a_zone_that_goes_takes_its_children_with_it(hands: Hands, served: str) -> None:
    spec = (await hands.api.get(INFERENCE_CLUSTER, served, "llm"))["spec"]
    await hands.merge(INFERENCE_CLUSTER, served, "llm", {"spec": {"zones": spec["zones"][:1]}})

    async def pruned() -> bool:
        sets = await hands.api.list(LEADER_WORKER_SET, served)
        services = await hands.api.list(SERVICE, served)
        return (len(sets), len(services)) == (1, 2)

    await until(pruned)


async def test_a_typo_in_the_pod_template_is_a_condition_and_heals(
    hands: Hands, namespace: str, operator_process: Operator
) -> None:
    await hands.create(INFERENCE_CLUSTER, manifest(namespace, podTemplate={"spec": {"tolerationz": []}}))

    async def refused() -> bool:
        return (await condition(hands, namespace, "Accepted")).get("status") == "False"

    await until(refused)
    assert "tolerationz" in (await condition(hands, namespace, "Accepted"))["message"]
    await hands.merge(INFERENCE_CLUSTER, namespace, "llm", {"spec": {"podTemplate": None}})
    await until(lambda: complete(hands, namespace))


async def test_events_of_strange_objects_do_no_harm(hands: Hands, served: str, operator_process: Operator) -> None:
    labels = {"trireme.dev/cluster": "nobody", "app.kubernetes.io/managed-by": "trireme"}
    meta = {"name": "strange", "namespace": served, "labels": labels}
    await hands.create(SERVICE, {"metadata": meta, "spec": {"ports": [{"port": 1}]}})
    await hands.create(CONTROLLER_REVISION, {"metadata": meta, "revision": 1, "data": {"x": 1}})
    mine = meta | {"labels": labels | {"trireme.dev/cluster": "llm"}, "name": "mine"}
    await hands.create(CONTROLLER_REVISION, {"metadata": mine, "revision": 99, "data": {"x": 1}})
    bare = {"metadata": {"name": "bare", "namespace": served, "labels": {"trireme.dev/cluster": "llm"}}}
    spec = {"containers": [{"name": "c", "image": "x"}], "serviceAccountName": "llm-engine"}
    await hands.create(POD, bare | {"spec": spec})
    await hands.delete(SERVICE, served, "llm-http")
    await until(lambda: complete_without(hands, served))
    assert operator_process.running


async def complete_without(hands: Hands, namespace: str) -> bool:
    names = {obj["metadata"]["name"] for obj in await hands.api.list(SERVICE, namespace)}
    return "llm-http" in names


async def test_pods_tell_the_cause_and_move_the_traffic(hands: Hands, served: str) -> None:
    for worker in (0, 1):
        obj = pod("llm-zone-a", 0, worker)
        obj["metadata"]["namespace"] = served
        await hands.pod(obj)
    waiting = {"name": "engine", "image": "nowhere/vllm:1", "imageID": "", "ready": False, "restartCount": 0}
    status = {"containerStatuses": [waiting | {"state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}]}
    broken = pod("llm-zone-b", 0, 0, ready=False)
    broken["metadata"]["namespace"] = served
    broken["status"] |= status
    await hands.pod(broken)

    async def told() -> bool:
        live = await hands.api.get(INFERENCE_CLUSTER, served, "llm")
        zones = {zone["name"]: zone for zone in live["status"]["zones"]}
        return zones["zone-a"]["readyGroups"] == 1 and "nowhere/vllm:1" in zones["zone-b"].get("message", "")

    await until(told)
    assert (await condition(hands, served, "Available"))["status"] == "True"
    assert (await condition(hands, served, "Ready"))["reason"] == "ImageNotFound"

    async def moved() -> bool:
        route = await hands.api.get(HTTP_ROUTE, served, "llm")
        return [ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]] == [60, 0]

    await until(moved)


async def test_killed_in_the_middle_of_creating_the_next_process_finishes(
    hands: Hands, namespace: str, operator_kubeconfig: Path, operator_process: Operator, tmp_path: Path
) -> None:
    names = [f"llm-{number}" for number in range(12)]
    log = tmp_path / "operator.log"
    with operator_process.paused(), running_operator(operator_kubeconfig, log, forked=False) as operator:
        await operator.ready()
        for name in names:
            await hands.create(INFERENCE_CLUSTER, manifest(namespace, name))
        await until(lambda: _count(hands, namespace, at_least=1))
        operator.kill()
        assert not await _count(hands, namespace, at_least=2 * len(names)), "it was killed too late to prove anything"
        operator.start()
        await until(lambda: _count(hands, namespace, at_least=2 * len(names)))
        await until(lambda: _all_observed(hands, namespace))
        assert operator.stop()[0] == 0


async def test_only_the_chosen_namespaces_are_served(
    hands: Hands, namespace: str, operator_kubeconfig: Path, operator_process: Operator, tmp_path: Path
) -> None:
    await hands.namespace(f"{namespace}-other")
    await hands.create(INFERENCE_CLUSTER, manifest(f"{namespace}-other"))
    await until(lambda: complete(hands, f"{namespace}-other"))
    with (
        operator_process.paused(),
        running_operator(
            operator_kubeconfig, tmp_path / "operator.log", namespaces=f"{namespace},not-there-yet"
        ) as operator,
    ):
        await operator.ready()
        await hands.delete(SERVICE, f"{namespace}-other", "llm-http")
        await hands.create(INFERENCE_CLUSTER, manifest(namespace))
        await until(lambda: complete(hands, namespace))
        assert not await complete(hands, f"{namespace}-other")
    await until(lambda: complete(hands, f"{namespace}-other"))


async def _count(hands: Hands, namespace: str, *, at_least: int) -> bool:
    return len(await hands.api.list(LEADER_WORKER_SET, namespace)) >= at_least


async def _all_observed(hands: Hands, namespace: str) -> bool:
    found = await hands.api.list(INFERENCE_CLUSTER, namespace)
    return all((obj.get("status") or {}).get("zones") for obj in found)


async def test_metrics_and_probe_answer(operator_process: Operator, served: str) -> None:
    metrics = operator_process.metrics()
    assert metrics['trireme_reconcile_total{result="success"}'] >= 1
    assert metrics["trireme_queue_depth"] >= 0
    assert any(name.startswith("trireme_watch_events_total") for name in metrics)
    assert operator_process.get("TRIREME_PROBE_PORT", "/healthz") is not None
