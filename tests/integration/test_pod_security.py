"""Rendered pods pass Pod Security ``restricted``, whatever a podTemplate adds that we take."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.golden.cases import CASES, rendered
from tests.integration.server import Hands
from trireme_operator.api.labels import FIELD_MANAGER
from trireme_operator.kube import POD, SERVICE_ACCOUNT, Forbidden, Kind, Obj

NAMESPACE = Kind("", "v1", "namespaces", "Namespace")


@pytest_asyncio.fixture(loop_scope="session")
async def restricted(hands: Hands, namespace: str) -> AsyncIterator[str]:
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    path = NAMESPACE.path(None, namespace)
    body = {"metadata": {"labels": label}}
    content_type = "application/merge-patch+json"
    await hands.api._call("PATCH", NAMESPACE, path, body=body, content_type=content_type, is_object=True)
    yield namespace
    await hands.clear_children(namespace)


def pods(case: str) -> list[Obj]:
    """The first leader and worker of each LeaderWorkerSet of a case, as LeaderWorkerSet would make them."""
    found: list[Obj] = []
    for obj in rendered(case):
        template = obj.get("spec", {}).get("leaderWorkerTemplate", {})
        for role in ("leaderTemplate", "workerTemplate"):
            if role in template:
                pod = copy.deepcopy(template[role])
                pod["spec"].pop(
                    "priorityClassName", None
                )  # there is no such class here, and it is no matter of security
                found.append({**pod, "metadata": {**pod["metadata"], "name": f"pod-{len(found)}"}})
    return found


async def account(hands: Hands, namespace: str, name: str) -> None:
    metadata = {"name": name, "namespace": namespace}
    obj = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    await hands.api.apply(SERVICE_ACCOUNT, obj, manager=FIELD_MANAGER)


@pytest.mark.parametrize("case", CASES)
async def test_rendered_pods_are_admitted(hands: Hands, restricted: str, case: str) -> None:
    assert pods(case)
    for pod in pods(case):
        await account(hands, restricted, pod["spec"]["serviceAccountName"])
        created = await hands.create(POD, {**pod, "metadata": {**pod["metadata"], "namespace": restricted}})
        assert created["spec"]["securityContext"]["runAsUser"] == 64100


async def test_the_namespace_does_refuse_what_is_not_restricted(hands: Hands, restricted: str) -> None:
    pod = pods("smallest")[0]
    await account(hands, restricted, pod["spec"]["serviceAccountName"])
    del pod["spec"]["containers"][0]["securityContext"]["capabilities"]
    with pytest.raises(Forbidden, match="PodSecurity"):
        await hands.create(POD, {**pod, "metadata": {**pod["metadata"], "namespace": restricted}})
