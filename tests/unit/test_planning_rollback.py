"""From stored inputs back to a spec: whatever was changed, the spec asks for the old inputs again."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import yaml

from tests.golden.cases import CASES, FOLDER
from tests.unit.resources import cluster, raw
from tests.unit.test_planning import CHANGES, NO_CHANGES
from trireme_operator.api import parse
from trireme_operator.api.crd import schema
from trireme_operator.planning import Difference, differences, restored_spec, template_inputs
from trireme_operator.planning.rollback import NO_INPUTS, SECTIONS

Obj = dict[str, Any]
SPECS: dict[str, Obj] = {"nothing": {}, **CHANGES, **NO_CHANGES} | {
    "ranks in fewer pods": {"parallelism": {"tensor": 2, "pipeline": 2}, "accelerator": {"perPod": 4}},
    "groups kept together": {"scheduling": {"topologyKey": "example.com/rack"}},
    "more ranks in as many pods": {"parallelism": {"tensor": 4, "pipeline": 1}, "accelerator": {"perPod": 4}},
}


def restored(now: Obj, then: Obj, *, refused: bool = False) -> Obj:
    inputs = template_inputs(cluster(**then))
    known = None if refused else template_inputs(cluster(**now))
    return restored_spec(raw(**now)["spec"], inputs, name="llama", now=known)


@pytest.mark.parametrize("refused", [False, True], ids=["accepted", "refused"])
def test_every_change_can_be_taken_back(refused: bool) -> None:
    for now, then in itertools.permutations(SPECS.values(), 2):
        spec = restored(now, then, refused=refused)
        assert template_inputs(cluster(**spec)) == template_inputs(cluster(**then))


@pytest.mark.parametrize("case", CASES)
def test_every_golden_case_can_be_gone_back_to(case: str) -> None:
    wanted = yaml.safe_load((FOLDER / case / "input.yaml").read_text())
    name = wanted["metadata"]["name"]
    inputs = template_inputs(parse(wanted))
    for now in (template_inputs(cluster(name)), None):
        spec = restored_spec(raw(name)["spec"], inputs, name=name, now=now)
        assert template_inputs(cluster(name, **spec)) == inputs


def test_every_section_of_the_inputs_is_known() -> None:
    """A field of the spec that becomes an input has to be taken out of a refused spec as well."""
    cases = [parse(yaml.safe_load((FOLDER / case / "input.yaml").read_text())) for case in CASES]
    found = {
        section
        for resource in [*cases, *(cluster(**spec) for spec in SPECS.values())]
        for section in template_inputs(resource)
    }
    assert found == set(SECTIONS)


def test_what_is_no_input_stays() -> None:
    now = {"zones": [{"name": "a", "replicas": 3}], "service": {"type": "NodePort"}, "engine": {"image": "next"}}
    spec = restored(now, {})
    assert (spec["zones"], spec["service"]) == (now["zones"], now["service"])


def test_what_does_not_differ_keeps_its_spelling() -> None:
    now: dict[str, Any] = {"resources": {"requests": {"cpu": "8000m", "memory": "64Gi"}, "sharedMemory": "8192Mi"}}
    then = {"resources": {"requests": {"cpu": "8", "memory": "32Gi"}}}
    assert restored(now, then)["resources"] == {
        "requests": {"cpu": "8000m", "memory": "32Gi"},
        "sharedMemory": "8192Mi",
    }
    assert restored(now, now) == raw(**now)["spec"]


@pytest.mark.parametrize("refused", [False, True], ids=["accepted", "refused"])
def test_what_reaches_no_pod_stays_in_its_section(refused: bool) -> None:
    now: Obj = {
        "model": {"source": "/models/m", "config": {"configMap": "dimensions"}},
        "accelerator": {"memory": "80Gi"},
        "engine": {"image": "next"},
    }
    spec = restored(now, {}, refused=refused)
    assert spec["model"]["config"] == {"configMap": "dimensions"}
    assert spec["accelerator"]["memory"] == "80Gi"


def test_each_field_of_a_section_is_an_input_or_known_to_be_none() -> None:
    """A new field that is neither would be lost when a refused spec is rolled back."""
    inputs = {
        "model": {"source", "servedName", "credentials", "cache", "s3"},
        "accelerator": {"resource", "perPod"},
        "parallelism": {"tensor", "pipeline", "data", "expert", "loadBalancing"},
        "resources": {"requests", "limits", "sharedMemory"},
    }
    fields = schema()["properties"]["spec"]["properties"]
    for section, known in inputs.items():
        assert set(fields[section]["properties"]) == known.union(NO_INPUTS.get(section, ())), section


def test_nothing_of_a_refused_overlay_is_left() -> None:
    spec = restored({"podTemplate": {"spec": {"hostNetwork": True}}}, {}, refused=True)
    assert "podTemplate" not in spec


def test_differences_are_the_deepest_paths_and_lists_of_another_length_differ_whole() -> None:
    before = {"a": {"b": 1, "c": [1, {"d": 2}]}, "e": [1], "same": True}
    after = {"a": {"b": 2, "c": [1, {"d": 3}]}, "e": [1, 2], "same": True, "f": None, "g": 0}
    assert list(differences(before, after)) == [
        Difference("a.b", 1, 2),
        Difference("a.c[1].d", 2, 3),
        Difference("e", [1], [1, 2]),
        Difference("g", None, 0),
    ]
