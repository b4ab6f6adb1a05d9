"""Each rule of the resource, broken once: the API server refuses it and names the field."""

import copy
from typing import Any

import pytest

from tests.integration.server import Hands
from tests.unit.controller_samples import resource
from trireme_operator.api.rules import RULES, Rule
from trireme_operator.kube import INFERENCE_CLUSTER, Invalid

BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("spec", {"replicas": 2}),
    ("spec", {"parallelism": {"tensor": 2, "pipeline": 2}, "accelerator": {"resource": "cpu", "perPod": 3}}),
    ("spec", {"parallelism": {"tensor": 4, "pipeline": 3}, "accelerator": {"resource": "cpu", "perPod": 6}}),
    ("spec.model.source", {"model": {"source": "s3://bucket/model"}}),
    ("spec.model.servedName", {"model": {"source": "/models/m", "servedName": "a name"}}),
    ("spec.engine.extraArgs", {"engine": {"extraArgs": ["chunked"]}}),
    ("spec.engine.extraArgs", {"engine": {"extraArgs": ["--tensor-parallel-size=8"]}}),
    ("spec.engine.extraArgs", {"engine": {"extraArgs": ["--enforce-eager", "--pipeline_parallel_size", "2"]}}),
    ("spec.engine.extraArgs", {"engine": {"extraArgs": ["-tp", "8"]}}),
    ("spec.engine.extraArgs", {"engine": {"extraArgs": ["--config", "x.yaml"]}}),
    ("spec.accelerator.resource", {"accelerator": {"resource": "gpu"}}),
    ("spec.resources", {"resources": {"requests": {"cpu": "8"}, "limits": {"cpu": "500m"}}}),
    ("spec.resources", {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}),
    ("spec.zones", {"zones": [{"name": "a", "weight": 0}, {"name": "b", "weight": 0}]}),
    ("spec.service.annotations[].name", {"service": {"annotations": [{"name": "trireme.dev/x", "value": "1"}]}}),
    ("spec.gateway.hostnames[]", {"gateway": {"parentRefs": [{"name": "g"}], "hostnames": ["10.0.0.1"]}}),
    ("spec.gateway.paths[]", {"gateway": {"parentRefs": [{"name": "g"}], "paths": ["v1"]}}),
]


def test_every_rule_has_a_resource_that_breaks_it() -> None:
    assert {rule.where for rule in RULES} == {where for where, _ in BROKEN}


@pytest.mark.parametrize(("where", "spec"), BROKEN, ids=lambda value: value if isinstance(value, str) else str(value))
async def test_a_broken_rule_is_refused_with_the_field(
    hands: Hands, rules_namespace: str, where: str, spec: dict[str, Any]
) -> None:
    obj = copy.deepcopy(resource(**spec))
    obj["metadata"] = {"name": "llm" if where else "x" * 41, "namespace": rules_namespace}
    with pytest.raises(Invalid) as refused:
        await hands.create(INFERENCE_CLUSTER, obj)
    message = str(refused.value)
    assert "is invalid" in message
    assert _path(where) in message
    assert any(_says(rule, message) for rule in RULES if rule.where == where), message


async def test_a_name_that_another_resources_service_may_have_is_refused(hands: Hands, rules_namespace: str) -> None:
    obj = resource(zones=None)
    obj["metadata"] = {"name": "llm-http", "namespace": rules_namespace}
    with pytest.raises(Invalid, match="must not end in -http"):
        await hands.create(INFERENCE_CLUSTER, obj)


def _path(where: str) -> str:
    return where.partition("[]")[0]


def _says(rule: Rule, message: str) -> bool:
    """The rule's fixed text, or the first fixed piece of its expression."""
    if rule.message in message:
        return True
    pieces = [piece for piece in (rule.message_expression or "").split("'")[1::2] if len(piece) > 10]
    return bool(pieces) and all(piece in message for piece in pieces[-1:])


@pytest.mark.parametrize(
    "spec",
    [{"parallelism": {"tensor": 4, "pipeline": 1}, "accelerator": {"resource": "cpu", "perPod": 2}}, {"zones": None}],
    ids=["tensor over two pods", "without zones"],
)
async def test_a_good_resource_is_taken(hands: Hands, namespace: str, spec: dict[str, Any]) -> None:
    obj = resource(**spec)
    obj["metadata"] = {"name": "x" * 40, "namespace": namespace}
    await hands.create(INFERENCE_CLUSTER, obj)
