"""The CustomResourceDefinition is structural, small, and says the same as the models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.unit.resources import raw
from trireme_operator import generate
from trireme_operator.api import ConditionType, Status, ZoneStatus, crd, parse
from trireme_operator.api.conditions import Reason, WeightReason
from trireme_operator.api.crd import _structural, at, schema
from trireme_operator.api.flags import LONG
from trireme_operator.api.rules import RULES

OUTPUTS = generate.outputs()
SAMPLES = sorted((generate.REPOSITORY / "samples").glob("*.yaml"))


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}".lstrip("."))
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from nodes(node["additionalProperties"], f"{path}.*")


def with_defaults(node: dict[str, Any], value: Any) -> Any:
    """What the API server does: defaults of absent fields, then of the fields inside them."""
    if isinstance(value, list):
        return [with_defaults(node["items"], item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = node.get("properties", {})
    filled = {name: child["default"] for name, child in fields.items() if "default" in child} | value
    return {name: with_defaults(fields[name], item) if name in fields else item for name, item in filled.items()}


def test_it_is_far_below_the_limit_of_200_kilobytes() -> None:
    assert len(json.dumps(crd())) < 150_000


def test_the_server_stores_no_default_of_a_field_that_came_after_the_first_release() -> None:
    """An operator of release 0.1.0 refuses what it does not know: this list gets shorter or stays."""
    minimal = {"spec": {"model": {"source": "hf://org/model"}, "zones": [{"name": "zone-a"}], "gateway": {}}}
    assert with_defaults(schema(), minimal)["spec"] == {
        "model": {"source": "hf://org/model"},
        "engine": {"image": "vllm/vllm-openai:v0.33.0", "config": {}},
        "parallelism": {"tensor": 1, "pipeline": 1},
        "accelerator": {"resource": "nvidia.com/gpu"},
        "resources": {"requests": {}, "limits": {}, "sharedMemory": "8Gi"},
        "zones": [{"name": "zone-a", "weight": 100}],
        "service": {"type": "ClusterIP"},
        "gateway": {"paths": ["/v1"]},
    }


@pytest.mark.parametrize(("path", "node"), [pytest.param(*pair, id=pair[0] or "root") for pair in nodes(schema())])
def test_every_node_is_structural(path: str, node: dict[str, Any]) -> None:
    assert not {"$ref", "$defs", "anyOf", "oneOf", "allOf", "nullable", "title"} & set(node)
    assert ("type" in node) != bool(node.get("x-kubernetes-int-or-string"))
    assert node.get("default", "") is not None


@pytest.mark.parametrize(
    ("path", "node"), [pytest.param(*pair, id=pair[0]) for pair in nodes(schema()["properties"]["spec"], "spec")]
)
def test_every_value_a_user_writes_has_bounds_and_words(path: str, node: dict[str, Any]) -> None:
    if not path.endswith(("[]", ".*")) or node.get("type") == "object":
        assert len(node["description"]) > 10
    match node.get("type"):
        case "string":
            assert "maxLength" in node or "enum" in node
        case "array":
            assert "maxItems" in node
            assert node["x-kubernetes-list-type"] in {"map", "atomic"}
        case "integer":
            assert "minimum" in node
            assert "maximum" in node
        case kind:
            assert kind in {"object", "boolean", None}  # None: a quantity


def test_fields_of_a_zone_are_not_floats_anywhere() -> None:
    assert not [path for path, node in nodes(schema()) if node.get("type") == "number"]


def test_each_rule_stands_at_its_node_with_words_of_its_own() -> None:
    root = schema()
    for rule in RULES:
        assert rule.schema() in at(root, rule.where)["x-kubernetes-validations"]
        assert len(rule.message) > 20
        if rule.field is not None:
            assert at(root, f"{rule.where}{rule.field}")


@pytest.mark.parametrize("flag", LONG)
def test_a_refused_flag_is_named_with_the_way_out(flag: str) -> None:
    message = next(rule.message for rule in RULES if "--nnodes" in rule.message)
    assert flag in message


def test_short_forms_and_columns_are_what_kubectl_shows() -> None:
    spec = crd()["spec"]
    assert spec["names"]["shortNames"] == ["ic"]
    version = spec["versions"][0]
    assert version["subresources"] == {"status": {}}
    columns = version["additionalPrinterColumns"]
    assert [column["name"] for column in columns] == ["Ready", "Zones", "Groups", "URL", "Age"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_what_the_schema_and_the_models_take(sample: Path) -> None:
    document = yaml.safe_load(sample.read_text())
    jsonschema.Draft202012Validator(schema()).validate(document)
    assert parse(document).metadata.name


def test_the_server_fills_in_what_the_models_do() -> None:
    document = raw(gateway={"parentRefs": [{"name": "edge"}]}, zones=[{"name": "a"}])
    filled = with_defaults(schema(), document)
    assert filled["spec"]["engine"]["image"]
    assert parse(filled) == parse(document)


def test_a_status_fits_its_schema() -> None:
    zone = ZoneStatus(name="a", groups=2, ready_groups=1, weight=50, weight_reason=WeightReason.PARTLY_READY)
    condition = {
        "type": ConditionType.READY,
        "status": "False",
        "reason": Reason.STARTING,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = Status.model_validate({"conditions": [condition], "zones": [zone]})
    document = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    root = schema()["properties"]["status"]
    jsonschema.Draft202012Validator(root).validate(document)
    assert set(document) <= set(root["properties"])


def test_zones_and_groups_are_counted_for_the_columns() -> None:
    def zone(name: str, groups: int, ready: int) -> ZoneStatus:
        return ZoneStatus(name=name, groups=groups, ready_groups=ready, weight=1, weight_reason=WeightReason.HEALTHY)

    status = Status(zones=[zone("a", 2, 1), zone("b", 1, 0), zone("c", 0, 0)])
    assert (status.zones_ready, status.groups_ready) == ("1/2", "1/3")
    assert (status.replicas, status.ready_replicas) == (3, 1)


def test_a_newer_operator_may_write_reasons_that_an_older_definition_does_not_know() -> None:
    assert not [path for path, node in nodes(schema()["properties"]["status"]) if "enum" in node]


@pytest.mark.parametrize("path", list(OUTPUTS), ids=str)
def test_generated_files_are_up_to_date(path: Path) -> None:
    assert (generate.REPOSITORY / path).read_text() == OUTPUTS[path], "run `make generate` and commit it"


def test_stale_files_are_named_then_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "REPOSITORY", tmp_path)
    assert generate.main(["--check"]) == 1
    assert all(f"{path} is not up to date" in capsys.readouterr().err for path in list(OUTPUTS)[:1])
    assert generate.main([]) == 0
    assert {path: (tmp_path / path).read_text() for path in OUTPUTS} == OUTPUTS


def test_the_generator_refuses_arguments_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--force"]) == 2
    assert "--check" in capsys.readouterr().err


def test_a_form_that_no_structural_schema_has_is_an_error_and_not_a_surprise() -> None:
    with pytest.raises(ValueError, match="multipleOf"):
        _structural({"type": "integer", "multipleOf": 2}, {})
    with pytest.raises(ValueError, match="one type or null"):
        _structural({"anyOf": [{"type": "integer"}, {"type": "string"}]}, {})
