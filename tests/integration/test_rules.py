"""Each rule of the resource, broken once: the API server refuses it and names the field."""

from typing import Any

import pytest

from tests.integration.server import Hands
from tests.rule_cases import BROKEN, BROKEN_UPDATES, GOOD_UPDATES, broken
from tests.unit.controller_samples import resource
from trireme_operator.api.rule import Rule
from trireme_operator.api.rules import RULES
from trireme_operator.kube import INFERENCE_CLUSTER, Invalid


def test_every_rule_has_a_resource_that_breaks_it() -> None:
    assert {rule.where for rule in RULES} == {where for where, _ in BROKEN}


@pytest.mark.parametrize(("where", "spec"), BROKEN, ids=lambda value: value if isinstance(value, str) else str(value))
async def test_a_broken_rule_is_refused_with_the_field(
    hands: Hands, rules_namespace: str, where: str, spec: dict[str, Any]
) -> None:
    with pytest.raises(Invalid) as refused:
        await hands.create(INFERENCE_CLUSTER, broken(where, spec, namespace=rules_namespace))
    message = str(refused.value)
    assert "is invalid" in message
    assert _path(where) in message
    assert any(_says(rule, message) for rule in RULES if rule.where == where), message


async def test_a_name_that_another_resources_service_may_have_is_refused(hands: Hands, rules_namespace: str) -> None:
    obj = resource(zones=None)
    obj["metadata"] = {"name": "llm-http", "namespace": rules_namespace}
    with pytest.raises(Invalid, match="must not end in -http"):
        await hands.create(INFERENCE_CLUSTER, obj)


@pytest.mark.parametrize(("where", "old", "new"), BROKEN_UPDATES, ids=str)
async def test_an_update_that_breaks_a_rule_is_refused_with_its_words(
    hands: Hands, namespace: str, where: str, old: dict[str, Any], new: dict[str, Any]
) -> None:
    await hands.create(INFERENCE_CLUSTER, broken(where, old, namespace=namespace))
    with pytest.raises(Invalid) as refused:
        await _replace(hands, broken(where, new, namespace=namespace))
    message = str(refused.value)
    assert any(_says(rule, message) for rule in RULES if rule.where == where and "oldSelf" in rule.rule), message


@pytest.mark.parametrize(("old", "new"), GOOD_UPDATES, ids=str)
async def test_a_good_update_is_taken(hands: Hands, namespace: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    await hands.create(INFERENCE_CLUSTER, broken("spec", old, namespace=namespace))
    await _replace(hands, broken("spec", new, namespace=namespace))


async def _replace(hands: Hands, document: dict[str, Any]) -> None:
    """As `kubectl replace`."""
    meta = document["metadata"]
    live = await hands.api.get(INFERENCE_CLUSTER, meta["namespace"], meta["name"])
    path = INFERENCE_CLUSTER.path(meta["namespace"], meta["name"])
    await hands.api._call("PUT", INFERENCE_CLUSTER, path, body=live | {"spec": document["spec"]}, is_object=True)


def _path(where: str) -> str:
    return where.partition("[]")[0]


def _says(rule: Rule, message: str) -> bool:
    """The rule's fixed text, or a fixed piece of its expression."""
    if rule.message in message:
        return True
    pieces = [piece for piece in (rule.message_expression or "").split("'")[1::2] if len(piece) > 10]
    return any(piece in message for piece in pieces)


@pytest.mark.parametrize(
    "spec",
    [
        {"parallelism": {"tensor": 4, "pipeline": 1}, "accelerator": {"resource": "cpu", "perPod": 2}},
        {
            "parallelism": {"tensor": 2, "data": 4, "expert": True, "loadBalancing": "Hybrid"},
            "accelerator": {"perPod": 4},
        },
        {"parallelism": {"tensor": 2, "data": 4, "loadBalancing": "External"}, "accelerator": {}},
        {"parallelism": {"tensor": 4, "data": 2, "loadBalancing": "Internal"}, "accelerator": {"perPod": 2}},
        {"zones": None},
    ],
    ids=["tensor over two pods", "hybrid", "external", "replicas over two pods", "without zones"],
)
async def test_a_good_resource_is_taken(hands: Hands, namespace: str, spec: dict[str, Any]) -> None:
    obj = resource(**spec)
    obj["metadata"] = {"name": "x" * 40, "namespace": namespace}
    await hands.create(INFERENCE_CLUSTER, obj)


@pytest.mark.parametrize(
    ("parallelism", "per_pod", "said"),
    [
        (
            {"tensor": 8, "pipeline": 2},
            6,
            "tensor 8 x pipeline 2 = 16 ranks need 2 pods of 8, or 4 of 4, or 1 of 16; perPod is 6",
        ),
        (
            {"tensor": 128, "pipeline": 128, "data": 512},
            63,
            "x data 512 = 8388608 ranks need 65536 pods of 128, or 131072 of 64; perPod is 63",
        ),
        (
            {"tensor": 2, "pipeline": 4, "data": 2, "loadBalancing": "External"},
            None,
            "External wants one replica of tensor x pipeline = 8 ranks in each pod; perPod is absent, which means 2",
        ),
    ],
    ids=["the smallest", "the largest", "by default"],
)
async def test_the_arithmetic_is_in_the_message(
    hands: Hands, rules_namespace: str, parallelism: dict[str, Any], per_pod: int | None, said: str
) -> None:
    accelerator = {} if per_pod is None else {"perPod": per_pod}
    document = broken("spec", {"parallelism": parallelism, "accelerator": accelerator}, namespace=rules_namespace)
    with pytest.raises(Invalid) as refused:
        await hands.create(INFERENCE_CLUSTER, document)
    assert said in str(refused.value)
