"""Writes what is installed without Helm, from the same chart: ``manifests/install.yaml`` for ``kubectl apply``
and ``manifests/base`` for kustomize; and the chart's copy of the CRDs.

``python -m scripts.generate_manifests [--check]``; with ``--check`` nothing is written, and a file that
differs from what would be written is an error.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from scripts.chart import CHART, NAMESPACE, ROOT, template

CRDS = ROOT / "crds"
MANIFESTS = ROOT / "manifests"
HEADER = "# Made by `make generate` from crds/ and charts/trireme. Do not edit.\n"
HELM_LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by")
"""Labels that say "Helm did this", which is not so for who applies the manifests."""
COMPONENT, OPERATOR = "app.kubernetes.io/component", "operator"


def namespace() -> dict[str, Any]:
    """The operator's namespace, which admits only pods of the strictest Pod Security level."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def without_helm(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object without the labels that only Helm may claim."""
    metadata = dict(obj["metadata"])
    metadata["labels"] = {key: value for key, value in metadata["labels"].items() if key not in HELM_LABELS}
    return {**obj, "metadata": metadata}


def generated() -> dict[Path, str]:
    """Every generated file with its content.

    Raises:
        ChartError: Helm refused the chart.

    """
    crds = {file.name: file.read_text() for file in sorted(CRDS.glob("*.yaml"))}
    objects = [namespace(), *(without_helm(obj) for obj in template())]
    files = {CHART / "crds" / name: text for name, text in crds.items()}
    files[MANIFESTS / "install.yaml"] = HEADER + "---\n".join(
        [_yaml(objects[0]), *(text.removeprefix("---\n") for text in crds.values()), *map(_yaml, objects[1:])]
    )
    base = crds | {_file_name(obj): HEADER + _yaml(obj) for obj in objects}
    if len(base) != len(crds) + len(objects):
        raise ValueError(f"two objects want the same file in manifests/base: {[_file_name(obj) for obj in objects]}")
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": sorted(base),
    }
    base["kustomization.yaml"] = HEADER + _yaml(kustomization)
    return files | {MANIFESTS / "base" / name: text for name, text in base.items()}


def stale(files: Mapping[Path, str]) -> list[Path]:
    """Files that lie where only generated ones may, and are not among them."""
    places = (MANIFESTS, MANIFESTS / "base", CHART / "crds")
    return [file for place in places for file in sorted(place.glob("*.yaml")) if file not in files]


def _file_name(obj: Mapping[str, Any]) -> str:
    """By kind; what does not belong to the operator itself says so."""
    component = (obj["metadata"].get("labels") or {}).get(COMPONENT, OPERATOR)
    suffix = "" if component == OPERATOR else f"-{component}"
    return f"{obj['kind'].lower()}{suffix}.yaml"


def _yaml(obj: Mapping[str, Any]) -> str:
    text: str = yaml.dump(obj, Dumper=yaml.CSafeDumper, sort_keys=False, width=120)
    return text


def check(files: Mapping[Path, str]) -> list[str]:
    """What differs between the tree and ``files``, as a person reads it; empty when nothing does."""
    found = [f"{file.relative_to(ROOT)} is not generated any more" for file in stale(files)]
    for file, want in files.items():
        have = file.read_text() if file.exists() else ""
        if have != want:
            name = str(file.relative_to(ROOT))
            found.append("\n".join(difflib.unified_diff(have.splitlines(), want.splitlines(), name, name, lineterm="")))
    return found


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Write manifests/ and the chart's CRDs.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file would change")
    only_check = parser.parse_args(arguments).check
    files = generated()
    if only_check:
        differences = check(files)
        for difference in differences:
            sys.stderr.write(f"{difference}\n")
        if differences:
            sys.stderr.write("Run `make generate` and commit what it writes.\n")
        return 1 if differences else 0
    for file in stale(files):
        file.unlink()
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
