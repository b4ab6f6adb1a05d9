"""Hostile resources on a real API server: it refuses what the offline check refuses, and takes what is rendered."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest

from tests.hostile import Document, hostile, pod_templates
from tests.integration.server import Hands
from tests.integration.test_pod_security import account, restricted
from tests.unit.test_hostile_specs import rendered
from trireme_operator.kube import INFERENCE_CLUSTER, POD, Invalid, KubeError
from trireme_operator.offline import Verdict, judge

__all__ = ["restricted"]

CASES = hostile()
_REFUSED = (400, 422)


@functools.cache
def judged() -> list[tuple[str, Document, Verdict]]:
    """What the offline check says of each case; in which namespace it is makes no difference to it."""
    return [(name, document, judge(placed(document, "anywhere"))) for name, document in CASES]


async def refused(hands: Hands, document: Document) -> bool:
    """Whether the API server refuses to create it."""
    path = INFERENCE_CLUSTER.path(document["metadata"]["namespace"])
    query = {"fieldValidation": "Strict", "dryRun": "All"}
    code, _, raw = await hands.api._request("POST", path, query=query, body=document, content_type="application/json")
    assert code in {201, *_REFUSED}, raw
    return code in _REFUSED


def placed(document: Document, namespace: str) -> Document:
    found = copy.deepcopy(document)
    found["metadata"] = {"name": found["metadata"]["name"], "namespace": namespace}
    return found


async def test_the_server_refuses_exactly_what_the_offline_check_says(hands: Hands, namespace: str) -> None:
    wrong = []
    for name, document, verdict in judged():
        if await refused(hands, placed(document, namespace)) is verdict.served:
            wrong.append(name)
    assert wrong == []


@pytest.mark.timeout(300)
async def test_the_pods_of_what_is_taken_are_admitted_under_restricted(hands: Hands, restricted: str) -> None:
    """Or the API server refuses them as invalid, which is a condition of the resource; never as too privileged."""
    await account(hands, restricted, "llm-engine")
    admitted, invalid, wrong = 0, 0, {}
    for name, document, verdict in judged():
        if not verdict.valid:
            continue
        case = placed(document, restricted)
        case["metadata"]["uid"] = "0e1b"
        try:
            await admit(hands, restricted, pod_templates(rendered(case))[0])
            admitted += 1
        except Invalid:
            invalid += 1
        except KubeError as error:
            wrong[name] = str(error)
    assert wrong == {}
    assert admitted >= 50
    assert invalid < admitted


async def admit(hands: Hands, namespace: str, template: Document) -> Any:
    pod = {**template, "apiVersion": "v1", "kind": "Pod"}
    pod["metadata"] = {**template["metadata"], "name": "pod", "namespace": namespace}
    query = {"fieldValidation": "Strict", "dryRun": "All"}
    return await hands.api._call("POST", POD, POD.path(namespace), query=query, body=pod, is_object=False)
