"""parse() turns what the API server hands out into the typed resource, or names every violation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.resources import cluster, raw
from trireme_operator.api import InvalidResource, parse


def violations(**spec: Any) -> dict[str, str]:
    with pytest.raises(InvalidResource) as caught:
        parse(raw(**spec))
    return {violation.path: violation.message for violation in caught.value.violations}


def test_the_smallest_resource_gets_every_default() -> None:
    spec = cluster("llama").spec
    assert spec.engine.image == "vllm/vllm-openai:v0.33.0"
    assert (spec.parallelism.tensor, spec.parallelism.pipeline) == (1, 1)
    assert spec.accelerator.resource == "nvidia.com/gpu"
    assert spec.accelerator.per_pod is None
    assert spec.resources.shared_memory == "8Gi"
    assert spec.zones is None
    assert spec.gateway is None


def test_the_served_name_is_the_name_of_the_resource_unless_given() -> None:
    assert cluster("llama").served_name == "llama"
    assert cluster("llama", model={"source": "/models/m", "servedName": "Llama-8B"}).served_name == "Llama-8B"


def test_a_status_of_any_shape_is_not_looked_at() -> None:
    assert parse({**raw(), "status": {"written": "by a later version"}}).metadata.name == "llama"


def test_metadata_that_is_not_used_is_ignored() -> None:
    document = raw()
    document["metadata"] |= {"managedFields": [{"manager": "kubectl"}], "finalizers": ["x"], "resourceVersion": "7"}
    assert parse(document).metadata.resource_version == "7"


def test_whole_numbers_are_quantities() -> None:
    assert cluster(resources={"requests": {"cpu": 8}}).spec.resources.requests.cpu == "8"


@pytest.mark.parametrize(
    ("spec", "path", "message"),
    [
        pytest.param({"zoness": []}, "spec.zoness", "there is no such field", id="a misspelled field"),
        pytest.param({"model": {}}, "spec.model.source", "must be set", id="a missing field"),
        pytest.param(
            {"parallelism": {"tensor": "2"}},
            "spec.parallelism.tensor",
            '"2": Input should be a valid integer',
            id="text",
        ),
        pytest.param(
            {"parallelism": {"tensor": 1.5}},
            "spec.parallelism.tensor",
            "1.5: Input should be a valid integer",
            id="float",
        ),
        pytest.param(
            {"parallelism": {"tensor": 0}}, "spec.parallelism.tensor", "0: Input should be greater than", id="bound"
        ),
        pytest.param(
            {"zones": [{"name": "a"}, {"name": "b", "weight": -1}]}, "spec.zones[1].weight", "-1: Input", id="in a list"
        ),
        pytest.param({"service": {"type": "External"}}, "spec.service.type", '"External": Input should be', id="enum"),
        pytest.param({"resources": {"requests": {"cpu": True}}}, "spec.resources.requests.cpu", "true: ", id="bool"),
        pytest.param(
            {"resources": {"limits": {"memory": "1gb"}}}, "spec.resources.limits.memory", '"1gb": ', id="quantity"
        ),
    ],
)
def test_a_wrong_field_is_named_with_its_value(spec: dict[str, Any], path: str, message: str) -> None:
    found = violations(**spec)
    assert list(found) == [path]
    assert found[path].startswith(message)


def test_all_violations_are_told_at_once() -> None:
    assert set(violations(model={}, zones=[], replicas=-1)) == {"spec.model.source", "spec.zones", "spec.replicas"}


def test_a_resource_without_spec_is_refused_and_not_a_crash() -> None:
    with pytest.raises(InvalidResource, match="spec: must be set"):
        parse({"metadata": {"name": "x"}})
