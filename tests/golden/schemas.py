"""The schemas of those who read what we render: the CRDs of LeaderWorkerSet and the Gateway API, strictly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema
import yaml

from e2e.toolchain import module_dir
from e2e.versions import versions

Obj = dict[str, Any]

LOADER = yaml.CSafeLoader
"""The definitions are long, and the parser in C is ten times as fast."""

_FILES = {
    "LeaderWorkerSet": (
        "sigs.k8s.io/lws",
        "lws",
        "config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml",
    ),
    "PodMonitor": (
        "github.com/prometheus-operator/prometheus-operator",
        "prometheus-operator",
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
    ),
    "ScaledObject": (
        "github.com/kedacore/keda/v2",
        "keda",
        "config/crd/bases/keda.sh_scaledobjects.yaml",
    ),
    "InferencePool": (
        "sigs.k8s.io/gateway-api-inference-extension",
        "inference-extension",
        "config/crd/bases/inference.networking.k8s.io_inferencepools.yaml",
    ),
    "HTTPRoute": (
        "sigs.k8s.io/gateway-api",
        "gateway-api",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    ),
}


def faults(obj: Obj) -> list[str]:
    """What the API server would refuse in an object of a custom kind: wrong values, and fields that no schema has."""
    node = schema(obj["kind"], obj["apiVersion"])
    wrong = [
        f"{'.'.join(str(part) for part in error.absolute_path)}: {error.message}"
        for error in jsonschema.Draft202012Validator(node).iter_errors(obj)
    ]
    return [*wrong, *_unknown(node, obj, obj["kind"])]


@cache
def schema(kind: str, api_version: str) -> Obj:
    """The schema of a version of a custom kind.

    Raises:
        LookupError: the CRD does not serve that version.
    """
    module, name, file = _FILES[kind]
    crd = yaml.load((module_dir(module, versions().binaries[name]) / file).read_text(), LOADER)  # noqa: S506  (both are safe)
    for version in crd["spec"]["versions"]:
        if api_version == f"{crd['spec']['group']}/{version['name']}" and version["served"]:
            found: Obj = version["schema"]["openAPIV3Schema"]
            return found
    raise LookupError(f"{kind} of {crd['spec']['group']} is not served as {api_version}")


def covers(kind: str) -> bool:
    return kind in _FILES


def _unknown(node: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(node.get("items", {}), item, f"{path}[{index}]")
    # The schema leaves the object's own metadata to the server; that of pod templates it does describe.
    if not isinstance(value, dict) or (path.count(".") == 1 and path.endswith(".metadata")):
        return
    properties, rest = node.get("properties", {}), node.get("additionalProperties")
    for name, item in value.items():
        if name in properties:
            yield from _unknown(properties[name], item, f"{path}.{name}")
        elif isinstance(rest, dict):
            yield from _unknown(rest, item, f"{path}.{name}")
        else:
            yield f"{path}.{name}: unknown field"
