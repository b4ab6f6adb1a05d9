"""The CustomResourceDefinition, made from the models.

pydantic describes a model in JSON Schema; the API server wants a *structural* schema: no references, a type at every
node, no alternatives, no nulls. ``_structural`` turns one into the other and knows just the forms that our models
produce; any other form is an error here and not a surprise in a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trireme_operator.api.base import UNSTORED_DEFAULT
from trireme_operator.api.resource import GROUP, KIND, PLURAL, VERSION, InferenceCluster, Spec
from trireme_operator.api.rules import RULES
from trireme_operator.api.status import Status

Schema = dict[str, Any]

_KEPT: Final = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
)
_DROPPED: Final = (
    "title",
    "additionalProperties",
    "$defs",
    "properties",
    "items",
    "anyOf",
    "$ref",
    "readOnly",
    *UNSTORED_DEFAULT,
)
_COLUMNS: Final = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', "Everything asked for is there"),
    ("Zones", "string", ".status.zonesReady", "Zones with a ready group, of those that should have one"),
    ("Groups", "string", ".status.groupsReady", "Ready groups, of those asked for"),
    ("URL", "string", ".status.url", "Where clients send requests"),
    ("Age", "date", ".metadata.creationTimestamp", ""),
)


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition of InferenceCluster, as a plain dict."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(*column) for column in _COLUMNS],
        "schema": {"openAPIV3Schema": schema()},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}", "labels": {"app.kubernetes.io/name": "trireme"}},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["ic"],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def schema() -> Schema:
    """The structural schema of the whole resource, with its rules."""
    root: Schema = {
        "type": "object",
        "description": InferenceCluster.__doc__ or "",
        "properties": {
            "apiVersion": {"type": "string", "description": f"`{GROUP}/{VERSION}`."},
            "kind": {"type": "string", "description": f"`{KIND}`."},
            "metadata": {"type": "object"},
            "spec": _of(Spec.model_json_schema(mode="validation")),
            "status": _status(),
        },
        "required": ["spec"],
    }
    for rule in RULES:
        at(root, rule.where).setdefault("x-kubernetes-validations", []).append(rule.schema())
    return root


def at(root: Schema, where: str) -> Schema:
    """The node of a schema at a path such as ``spec.gateway.hostnames[]``.

    Raises:
        KeyError: there is no such node.

    """
    node = root
    for part in where.split(".") if where else ():
        node = node["properties"][part.removesuffix("[]")]
        if part.endswith("[]"):
            node = node["items"]
    return node


def _of(document: Schema) -> Schema:
    return _structural(document, document.get("$defs", {}))


def _status() -> Schema:
    """The status as it is written, computed fields included.

    Nothing in it is defaulted by the server, and its words are any words: Helm does not upgrade CRDs, so an operator
    may be newer than the definition and know reasons that this one does not.
    """
    node = _of(Status.model_json_schema(mode="serialization"))
    node.pop("required", None)  # lists the computed fields, which an empty status does not have
    _without_defaults_and_enums(node)
    return node


def _structural(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if "anyOf" in node:
        choices = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
        if len(choices) != 1:
            raise ValueError(f"a field of one type or null is expected, not {node['anyOf']}")
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return _structural({**choices[0], **rest}, definitions)
    unknown = [key for key in node if key not in _KEPT and key not in _DROPPED and not key.startswith("x-kubernetes-")]
    if unknown:
        raise ValueError(f"no structural schema has {unknown}: {node}")
    result = {key: value for key, value in node.items() if key in _KEPT or key.startswith("x-kubernetes-")}
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    _default(result, stored=UNSTORED_DEFAULT.keys().isdisjoint(node))
    if "properties" in node:
        result["properties"] = {name: _structural(child, definitions) for name, child in node["properties"].items()}
    if isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = _structural(node["additionalProperties"], definitions)
    if "items" in node:
        result["items"] = _structural(node["items"], definitions)
    if result.get("type") == "integer":
        result.setdefault("format", "int32")
    return result


def _default(node: Schema, *, stored: bool) -> None:
    """Keep a default that says something: objects get theirs from their fields, absent lists are empty anyway."""
    default = node.get("default")
    if isinstance(default, dict):
        node["default"] = {}
    if not stored or default is None or default == []:
        node.pop("default", None)


def _without_defaults_and_enums(node: Schema) -> None:
    node.pop("default", None)
    node.pop("enum", None)
    for child in node.get("properties", {}).values():
        _without_defaults_and_enums(child)
    if "items" in node:
        _without_defaults_and_enums(node["items"])


def _column(name: str, kind: str, path: str, description: str) -> dict[str, str]:
    column = {"name": name, "type": kind, "jsonPath": path}
    return column | ({"description": description} if description else {})
