"""Rules about updates, and faults that an update did not bring, are judged alike offline and by a real API server."""

import copy
import json
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.server import Hands
from tests.rule_cases import SERVICE_UPDATES, TRANSITIONS, UPDATES
from tests.unit.controller_samples import resource
from trireme_operator.kube import INFERENCE_CLUSTER, Invalid, Kind, Obj
from trireme_operator.offline import cel, judge
from trireme_operator.offline.old import Old
from trireme_operator.offline.schema import findings

THING = Kind("test.trireme.dev", "v1", "things", "Thing")


def definition(spec: dict[str, Any]) -> dict[str, Any]:
    version = {
        "name": THING.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{THING.plural}.{THING.group}"},
        "spec": {
            "group": THING.group,
            "scope": "Namespaced",
            "names": {"kind": THING.kind, "plural": THING.plural, "singular": "thing", "listKind": "ThingList"},
            "versions": [version],
        },
    }


def bounded(node: dict[str, Any]) -> dict[str, Any]:
    """The schema with the bounds that the server wants around rules, to know their cost."""
    node = copy.deepcopy(node)
    node["properties"]["zones"]["maxItems"] = 8
    for field in node["properties"]["zones"]["items"]["properties"].values():
        field["maxLength"] = 16
    node["properties"]["zones"]["items"]["required"] = ["name"]
    return node


async def said(hands: Hands, namespace: str, name: str, spec: Any) -> set[tuple[str, str]]:
    """What the server says to updating the object to this spec, without doing it."""
    live = await hands.api.get(THING, namespace, name)
    path, body = THING.path(namespace, name), live | {"spec": spec}
    status, _, raw = await hands.api._request(
        "PUT", path, query={"dryRun": "All"}, body=body, content_type="application/json"
    )
    answer = json.loads(raw)
    assert status in {200, 422}, answer
    return {(cause["field"], cause["message"]) for cause in (answer.get("details") or {}).get("causes") or []}


@pytest_asyncio.fixture(loop_scope="session")
async def things(hands: Hands) -> Hands:
    await hands.install([definition(bounded(TRANSITIONS))])
    await hands.served(THING)
    return hands


async def test_rules_with_an_old_value_speak_as_they_do_offline(things: Hands, namespace: str) -> None:
    for number, (old, new, expected) in enumerate(UPDATES):
        if old is None:
            continue
        name = f"thing-{number}"
        await things.create(THING, {"metadata": {"name": name, "namespace": namespace}, "spec": old})
        server = await said(things, namespace, name, new)
        assert {path for path, _ in server} == {f"spec.{path}" for path, _ in expected}
        assert all(any(message.endswith(text) for _, message in server) for _, text in expected)
        offline = [(found.path, found.message) for found in cel.findings(new, TRANSITIONS, "", Old(old))]
        assert offline == expected


async def test_faults_that_were_there_before_are_let_pass(things: Hands, namespace: str) -> None:
    """An object that was fine under the schema of its day can be changed elsewhere under a narrower one."""
    old = {"size": 9, "zones": [{"name": "a", "kind": "xyz"}]}
    await things.create(THING, {"metadata": {"name": "old", "namespace": namespace}, "spec": old})
    narrow = bounded(TRANSITIONS)
    narrow["properties"]["size"]["maximum"] = 5
    narrow["properties"]["zones"]["items"]["properties"]["kind"]["pattern"] = "^y$"
    await things.install([definition(narrow)])
    other = {"size": 9, "zones": [{"name": "a", "kind": "xyz"}, {"name": "b", "kind": "y"}]}
    worse = {"size": 10, "zones": [{"name": "b", "kind": "z"}]}
    for _ in range(50):  # until the server judges by the narrower schema
        if await said(things, namespace, "old", worse):
            break
    for new, expected in ((other, set()), (worse, {"spec.size", "spec.zones[0].kind"})):
        assert {path for path, _ in await said(things, namespace, "old", new)} == expected
        assert {found.path for found in findings(new, narrow, "spec", Old(old))} == expected


def _with_service(namespace: str, service: Obj) -> Obj:
    obj = resource(service=service)
    return {**obj, "metadata": {"name": "llm", "namespace": namespace}}


@pytest.mark.parametrize(("old", "new", "paths"), SERVICE_UPDATES)
async def test_a_load_balancer_is_not_turned_into_another_one(
    hands: Hands, namespace: str, old: Obj, new: Obj, paths: list[str]
) -> None:
    before, after = _with_service(namespace, old), _with_service(namespace, new)
    assert [finding.path for finding in judge(after, old=before).findings] == paths
    await hands.api.apply(INFERENCE_CLUSTER, before, manager="user")
    if not paths:
        await hands.api.apply(INFERENCE_CLUSTER, after, manager="user")
        return
    with pytest.raises(Invalid, match="is fixed while type is LoadBalancer") as refused:
        await hands.api.apply(INFERENCE_CLUSTER, after, manager="user")
    assert paths[0] in str(refused.value)
