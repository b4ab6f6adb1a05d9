"""What is refused for one zone or one resource stays its own problem."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from tests.integration.server import Hands, Operator, condition, until
from tests.unit.controller_samples import resource
from trireme_operator.kube import HTTP_ROUTE, INFERENCE_CLUSTER, LEADER_WORKER_SET, SERVICE, Kind, NotFound, Obj

GROUP = "admissionregistration.k8s.io"
POLICY = Kind(GROUP, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy")
BINDING = Kind(GROUP, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding")
NAME = "no-groups-in-zone-b"


def policy(namespace: str) -> list[tuple[Kind, Obj]]:
    """An admission policy of the cluster's owner that refuses the groups of one zone."""
    rule = {
        "apiGroups": [LEADER_WORKER_SET.group],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": [LEADER_WORKER_SET.plural],
    }
    spec: dict[str, Any] = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "!object.metadata.name.endsWith('-zone-b')", "message": "zone b is closed"}],
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    binding = {
        "policyName": NAME,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": selector},
    }
    return [
        (kind, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": NAME}, "spec": found})
        for kind, found in ((POLICY, spec), (BINDING, binding))
    ]


@pytest_asyncio.fixture(loop_scope="session")
async def closed(hands: Hands, namespace: str) -> AsyncIterator[str]:
    """A namespace in which zone b takes no groups."""
    for kind, obj in policy(namespace):
        await hands.apply(kind, obj)
    probe = {"metadata": {"name": "probe-zone-b", "namespace": namespace}, "spec": _probe_spec()}

    async def enforced() -> bool:
        try:
            live = await hands.create(LEADER_WORKER_SET, probe)
        except Exception as error:  # noqa: BLE001 - whichever code the policy answers with
            return "zone b is closed" in str(error)
        await hands.api.delete(LEADER_WORKER_SET, namespace, "probe-zone-b", uid=live["metadata"]["uid"])
        return False

    await until(enforced)
    yield namespace
    await _open(hands)


async def _open(hands: Hands) -> None:
    for kind in (BINDING, POLICY):
        with contextlib.suppress(NotFound):  # a test may have done it
            await hands.api._call("DELETE", kind, f"{kind.path()}/{NAME}", is_object=True)


def _probe_spec() -> Obj:
    return {"leaderWorkerTemplate": {"workerTemplate": {"spec": {"containers": [{"name": "c", "image": "x"}]}}}}


def manifest(namespace: str, name: str) -> Obj:
    obj = resource()
    obj["metadata"] = {"name": name, "namespace": namespace}
    return obj


async def test_a_zone_whose_groups_are_refused_leaves_the_other_served(
    hands: Hands, closed: str, operator_process: Operator
) -> None:
    await hands.create(INFERENCE_CLUSTER, manifest(closed, "llm"))

    async def told() -> bool:
        return "zone b is closed" in (await condition(hands, closed, "Progressing")).get("message", "")

    await until(told)
    assert [obj["metadata"]["name"] for obj in await hands.api.list(LEADER_WORKER_SET, closed)] == ["llm-zone-a"]
    assert len(await hands.api.list(SERVICE, closed)) == 3
    assert len(await hands.api.list(HTTP_ROUTE, closed)) == 1
    assert (await condition(hands, closed, "Accepted"))["reason"] == "ApplyFailed"
    await hands.delete(SERVICE, closed, "llm-zone-a-http")

    async def repaired() -> bool:
        return len(await hands.api.list(SERVICE, closed)) == 3

    assert await until(repaired) < 15, "the zone that is served goes on being repaired, sooner than by a resync"
    await _open(hands)

    async def healed() -> bool:
        await hands.merge(INFERENCE_CLUSTER, closed, "llm", {"metadata": {"annotations": {"touched": "yes"}}})
        return len(await hands.api.list(LEADER_WORKER_SET, closed)) == 2

    await until(healed)


async def test_resources_that_always_fail_do_not_hold_up_one_that_works(
    hands: Hands, closed: str, operator_process: Operator
) -> None:
    """Three times as many as there are workers, in the same namespace."""
    for number in range(24):
        await hands.create(INFERENCE_CLUSTER, manifest(closed, f"bad-{number}"))
    good = manifest(closed, "good")
    good["spec"]["zones"] = good["spec"]["zones"][:1]
    await hands.create(INFERENCE_CLUSTER, good)

    async def accepted() -> bool:
        return (await condition(hands, closed, "Accepted", "good")).get("status") == "True"

    await until(accepted)
    failing = await hands.api.list(INFERENCE_CLUSTER, closed)
    metrics = operator_process.metrics()
    assert metrics['trireme_reconcile_total{result="error"}'] >= 1
    assert metrics["trireme_queue_oldest_seconds"] < 45, "the limit of the wait above"
    assert len(failing) == 25
