"""What the API server does to a document before it judges it: defaults, unknown fields, nulls.

In its order, which matters: defaults come first and take the place of nulls, then fields that the schema does not
have are found (``fieldValidation=Strict`` refuses the document for them), then nulls without a default are dropped.
Sources, k8s.io/apiextensions-apiserver v0.36.3: pkg/apiserver/schema/defaulting/algorithm.go, prunenulls.go and
pkg/apiserver/schema/pruning/algorithm.go, called from pkg/apiserver/customresource_handler.go.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final

from trireme_operator.offline.finding import Finding, Rule, shown

Schema = dict[str, Any]

_IMPLICIT: Final = frozenset({"apiVersion", "kind", "metadata"})
_LARGEST_EXACT: Final = 2**53 - 1
_INT64: Final = range(-(2**63), 2**63)


def normalize(value: Any) -> Any:
    """A deep copy with numbers as they arrive at the server: 3.0 is 3, what no int64 holds is a float."""
    if isinstance(value, dict):
        return {str(name): normalize(child) for name, child in value.items()}
    if isinstance(value, list):
        return [normalize(child) for child in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_EXACT:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value not in _INT64:
        return float(value)
    return value


def fill_defaults(value: Any, schema: Schema) -> None:
    """Put the schema's defaults where a field is absent or null, in place."""
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if "default" in child and value.get(name) is None:
                value[name] = deepcopy(child["default"])
            if name in value:
                fill_defaults(value[name], child)
    elif isinstance(value, list):
        for item in value:
            fill_defaults(item, schema.get("items", {}))


def unknown_fields(value: Any, schema: Schema, path: str = "") -> Iterator[Finding]:
    """Fields that the schema does not have. ``metadata`` is not looked into."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        for name, child in value.items():
            if not path and name in _IMPLICIT:
                continue
            below = f"{path}.{name}" if path else name
            if name in known:
                yield from unknown_fields(child, known[name], below)
            elif rest is not None:
                yield from unknown_fields(child, rest, below)
            else:
                yield Finding(below, Rule.UNKNOWN_FIELD, _no_such(name, known), shown(child))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown_fields(item, schema.get("items", {}), f"{path}[{index}]")


def drop_nulls(value: Any, schema: Schema) -> None:
    """Remove fields that are null and have no default, in place; inside of what the schema preserves, nulls stay."""
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        for name in [name for name in value if name in known or rest is not None]:
            child = known.get(name, rest)
            if value[name] is None and "default" not in child:
                del value[name]
            else:
                drop_nulls(value[name], child)
    elif isinstance(value, list):
        for item in value:
            drop_nulls(item, schema.get("items", {}))


def _no_such(name: str, known: Schema) -> str:
    if not known:
        return "there is no such field: no fields are expected here"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the fields here are {', '.join(sorted(known))}"
    return f"there is no such field: {hint}"
