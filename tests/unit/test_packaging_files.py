"""The chart, the plain manifests and the Makefile, as files: what has to agree in them does."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import trireme_operator

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "trireme"
MANIFESTS = ROOT / "manifests"


def load_all(file: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.load_all(file.read_text(), yaml.CSafeLoader) if document is not None]


def identity(obj: dict[str, Any]) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def test_chart_and_operator_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["version"] == chart["appVersion"] == trireme_operator.__version__


def test_the_chart_carries_the_crds_as_generated() -> None:
    source = {file.name: file.read_text() for file in (ROOT / "crds").glob("*.yaml")}

    assert source, "crds/ is empty: run `make generate`"
    assert {file.name: file.read_text() for file in (CHART / "crds").glob("*.yaml")} == source


def test_every_value_is_in_the_schema_and_no_more() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(value: Any, node: dict[str, Any], path: str) -> None:
        assert node.get("description"), f"{path} has no description in values.schema.json"
        if node.get("type") == "object" and "properties" in node and isinstance(value, dict):
            assert node.get("additionalProperties") is False, f"{path} lets typing errors through"
            declared = set(node["properties"]) - {"global"}
            if path != ".resources":
                assert declared == set(value), f"{path}: values.yaml and values.schema.json differ"
            for key, inner in value.items():
                compare(inner, node["properties"][key], f"{path}.{key}")

    compare(values, {**schema, "description": "root"}, "")


def test_both_plain_ways_install_the_same_objects() -> None:
    """``kubectl apply -f install.yaml`` and the kustomize base hold the same documents."""
    base = MANIFESTS / "base"
    kustomization = yaml.safe_load((base / "kustomization.yaml").read_text())
    listed = sorted(kustomization["resources"])
    by_identity = {identity(obj): obj for name in listed for obj in load_all(base / name)}
    install = {identity(obj): obj for obj in load_all(MANIFESTS / "install.yaml")}

    assert listed == sorted(file.name for file in base.glob("*.yaml") if file.name != "kustomization.yaml")
    assert by_identity == install


def test_install_yaml_is_applied_in_an_order_that_works() -> None:
    kinds = [obj["kind"] for obj in load_all(MANIFESTS / "install.yaml")]

    assert kinds[0] == "Namespace"
    assert kinds[1] == "CustomResourceDefinition"
    assert kinds[-1] == "Deployment"


def test_nothing_in_the_plain_manifests_claims_to_be_helms() -> None:
    for obj in load_all(MANIFESTS / "install.yaml"):
        labels = obj["metadata"].get("labels", {})
        assert "helm.sh/chart" not in labels, identity(obj)
        assert labels.get("app.kubernetes.io/managed-by") != "Helm", identity(obj)


def pod_of(deployment: str) -> dict[str, Any]:
    wanted = ("Deployment", deployment)
    found = [obj for obj in load_all(MANIFESTS / "install.yaml") if (obj["kind"], obj["metadata"]["name"]) == wanted]
    pod: dict[str, Any] = found[0]["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("deployment", ["trireme", "trireme-metrics-api"])
def test_no_pod_has_a_privilege(deployment: str) -> None:
    pod = pod_of(deployment)
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert [list(volume) for volume in pod["volumes"]] == [["name", "emptyDir"]]


def test_no_rule_reaches_for_everything_or_for_secrets_but_the_one_with_our_certificate() -> None:
    rules = [rule for obj in load_all(MANIFESTS / "install.yaml") for rule in obj.get("rules", ())]

    assert rules
    for rule in rules:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"], rule
        assert not {"nodes", "pods/exec"} & set(rule["resources"]), rule
        if "secrets" in rule["resources"]:
            assert rule["resourceNames"] == ["trireme-metrics-api"], rule
            assert set(rule["verbs"]) <= {"get", "patch"}, rule


def test_ci_runs_the_gate_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()

    assert "set -euo pipefail" in lines
    assert [line.split() for line in lines if "make" in line] == [["exec", "make", "test"]]


def test_make_lists_every_target_with_its_help() -> None:
    listed = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    shown = set(re.findall(r"^  make (\S+) +\S", listed.stdout, re.MULTILINE))
    phony = set(re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"$(CHECKS)"}

    assert shown == phony - {"bootstrap"}


def test_locked_versions_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        requirement.lower()
        for extra in ("operator", "runtime", "cli", "dev")
        for requirement in project["optional-dependencies"][extra]
        if "==" in requirement
    }
    locked = set(re.findall(r"^([a-z0-9._-]+==\S+)", (ROOT / "requirements" / "dev.lock").read_text(), re.MULTILINE))

    assert wanted - locked == set(), "run `make lock`"


@pytest.mark.parametrize("name", ["bootstrap", "lock", "part"])
def test_scripts_can_be_run(name: str) -> None:
    file = ROOT / "scripts" / name

    assert file.read_text().startswith("#!/usr/bin/env bash\n")
    assert file.stat().st_mode & 0o111
