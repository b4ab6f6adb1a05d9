"""The structural schema applied to a document, keyword by keyword as the API server does it.

Sources: k8s.io/kube-openapi (the version that k8s.io/apiextensions-apiserver v0.36.3 requires), pkg/validation/validate
(type.go, validator.go, values.go), and pkg/apiserver/schema/listtype/validation.go of apiextensions-apiserver. Just
the keywords that our own schema has are known here; any other is an error and not a gap.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from trireme_operator.offline.cel import matches
from trireme_operator.offline.decode import Schema
from trireme_operator.offline.finding import Finding, Rule, shown
from trireme_operator.offline.old import Old

_KNOWN: Final = frozenset(
    {
        "additionalProperties",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    }
)
_SMALLEST_INT32: Final = -(2**31)
_LARGEST_INT32: Final = 2**31 - 1
_TYPES: Final = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
_ARTICLES: Final = {"integer": "an integer", "object": "an object", "array": "a list", "string": "text"}


def findings(value: Any, schema: Schema, path: str, old: Old) -> Iterator[Finding]:
    """Every keyword of the schema that the value breaks. What has not changed since ``old`` is let pass.

    Raises:
        ValueError: the schema has a keyword that is not known here.

    """
    unknown = schema.keys() - _KNOWN
    if unknown:
        raise ValueError(f"keywords {sorted(unknown)} at {path or 'the root'}: teach them to offline/schema.py")
    if old.equals(value):
        return
    yield from _type(value, schema, path)
    yield from _enum(value, schema, path)
    if isinstance(value, str):
        yield from _string(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, schema, path)
    elif isinstance(value, list):
        yield from _list(value, schema, path, old)
    elif isinstance(value, dict):
        yield from _object(value, schema, path, old)


def duplicates(value: Any, schema: Schema, path: str) -> Iterator[Finding]:
    """Items of a keyed list that share their key, below any node."""
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                yield from duplicates(value[name], child, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        if schema.get("x-kubernetes-list-type") == "map":
            yield from _duplicate_keys(value, schema["x-kubernetes-list-map-keys"], path)
        for index, item in enumerate(value):
            yield from duplicates(item, schema.get("items", {}), f"{path}[{index}]")


def _type(value: Any, schema: Schema, path: str) -> Iterator[Finding]:
    wanted = ["integer", "string"] if schema.get("x-kubernetes-int-or-string") else [str(schema.get("type", ""))]
    if wanted == [""] or _name_of_type(value) in wanted:
        return
    spelled = " or ".join(_ARTICLES.get(name, name) for name in wanted)
    yield Finding(path, Rule.TYPE, f"must be {spelled}, not {_name_of_type(value)}", shown(value), "|".join(wanted))


def _name_of_type(value: Any) -> str:
    """The name that JSON Schema has for the type of a value that was read from JSON or YAML."""
    return _TYPES[type(value)]


def _enum(value: Any, schema: Schema, path: str) -> Iterator[Finding]:
    allowed = schema.get("enum")
    if allowed and not any(value == choice and type(value) is type(choice) for choice in allowed):
        choices = ", ".join(str(choice) for choice in allowed)
        yield Finding(path, Rule.ENUM, f"must be one of {choices}", shown(value), choices)


def _string(value: str, schema: Schema, path: str) -> Iterator[Finding]:
    """The first of length and pattern that is broken, as the server says no more than one. Lengths in code points."""
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if longest is not None and len(value) > longest:
        message = f"has {len(value)} characters: at most {longest} are allowed"
        yield Finding(path, Rule.MAX_LENGTH, message, shown(value), str(longest))
    elif shortest is not None and len(value) < shortest:
        message = f"has {len(value)} characters: at least {shortest} are needed"
        yield Finding(path, Rule.MIN_LENGTH, message, shown(value), str(shortest))
    elif pattern is not None and not matches(value, pattern):
        yield Finding(path, Rule.PATTERN, f"must match {pattern}", shown(value), pattern)


def _number(value: float, schema: Schema, path: str) -> Iterator[Finding]:
    whole = isinstance(value, int) or value.is_integer()
    if schema.get("format") == "int32" and not (whole and _SMALLEST_INT32 <= value <= _LARGEST_INT32):
        yield Finding(path, Rule.FORMAT, "must be a whole number of 32 bits", shown(value), "int32")
    least, most = schema.get("minimum"), schema.get("maximum")
    if most is not None and value > most:
        yield Finding(path, Rule.MAXIMUM, f"must be at most {most}", shown(value), str(most))
    if least is not None and value < least:
        yield Finding(path, Rule.MINIMUM, f"must be at least {least}", shown(value), str(least))


def _list(value: list[Any], schema: Schema, path: str, old: Old) -> Iterator[Finding]:
    for index, item in enumerate(value):
        yield from findings(item, schema.get("items", {}), f"{path}[{index}]", old.item(schema, item))
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(value) < least:
        message = f"has {len(value)} items: at least {least} are needed"
        yield Finding(path, Rule.MIN_ITEMS, message, text=str(least))
    if most is not None and len(value) > most:
        message = f"has {len(value)} items: at most {most} are allowed"
        yield Finding(path, Rule.MAX_ITEMS, message, text=str(most))


def _object(value: dict[str, Any], schema: Schema, path: str, old: Old) -> Iterator[Finding]:
    for name, child in schema.get("properties", {}).items():
        if name in value:
            below = f"{path}.{name}" if path else name
            yield from findings(value[name], child, below, old.field(name))
    if "additionalProperties" in schema:
        for name, item in value.items():
            yield from findings(item, schema["additionalProperties"], f"{path}.{name}", old.field(name))
    most = schema.get("maxProperties")
    if most is not None and len(value) > most:
        message = f"has {len(value)} entries: at most {most} are allowed"
        yield Finding(path, Rule.MAX_ITEMS, message, text=str(most))  # the server says the same of both
    for name in schema.get("required", ()):
        if name not in value:
            yield Finding(f"{path}.{name}" if path else name, Rule.REQUIRED, "must be set")


def _duplicate_keys(items: list[Any], keys: list[str], path: str) -> Iterator[Finding]:
    """Each key is reported once, at the second item that has it."""
    for index, item in enumerate(items):
        if item is not None and not isinstance(item, dict):
            yield Finding(f"{path}[{index}]", Rule.DUPLICATE, "must be an object: items are told apart by a key")
            return
    times: dict[str, int] = {}
    for index, item in enumerate(items):
        key = {name: item[name] for name in keys if name in (item or {})}
        text = json.dumps(key, sort_keys=True)
        times[text] = times.get(text, 0) + 1
        if times[text] == 2:  # noqa: PLR2004  (the second)
            message = f"another item has the same {', '.join(keys)}: each may be there once"
            yield Finding(f"{path}[{index}]", Rule.DUPLICATE, message, text, ", ".join(keys))
