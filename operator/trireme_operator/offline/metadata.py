"""The part of an object's metadata that people write: its name, labels and annotations.

Sources, k8s.io/apimachinery v0.36.3: pkg/api/validation/objectmeta.go, pkg/util/validation/validation.go. Owner
references, finalizers and the namespace are the API server's alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, Final

from trireme_operator.api.base import DNS_SUBDOMAIN_PATTERN
from trireme_operator.offline.cel import matches
from trireme_operator.offline.finding import Finding, Rule, shown

_FIELDS: Final = frozenset(
    {
        "annotations",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "labels",
        "managedFields",
        "name",
        "namespace",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)
_TEXTS: Final = ("name", "generateName", "namespace", "uid", "resourceVersion", "selfLink")
_LONGEST_NAME: Final = 253
_LONGEST_PART: Final = 63
_LARGEST_ANNOTATIONS_BYTES: Final = 256 * 1024
_PART: Final = "^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"


def malformed(metadata: Any) -> Iterator[Finding]:
    """What keeps the server from reading the metadata at all: unknown fields, and values of another type."""
    if not isinstance(metadata, dict):
        yield Finding("metadata", Rule.TYPE, "must be an object", shown(metadata), "object")
        return
    for name in metadata.keys() - _FIELDS:
        near = difflib.get_close_matches(name, _FIELDS, n=1)
        hint = f": did you mean {near[0]}?" if near else ""
        yield Finding(f"metadata.{name}", Rule.UNKNOWN_FIELD, f"there is no such field{hint}", shown(metadata[name]))
    for name in _TEXTS:
        if not isinstance(metadata.get(name), str | None):
            yield Finding(f"metadata.{name}", Rule.TYPE, "must be text", shown(metadata[name]), "string")
    for name in ("labels", "annotations"):
        values = metadata.get(name)
        if not isinstance(values, dict | None):
            yield Finding(f"metadata.{name}", Rule.TYPE, "must be an object", shown(values), "object")
            continue
        for key, value in (values or {}).items():
            if not isinstance(value, str | None):
                message = f"the value of {key} must be text: put it in quotes"
                yield Finding(f"metadata.{name}", Rule.TYPE, message, shown(value), "string")


def findings(metadata: dict[str, Any]) -> Iterator[Finding]:
    """What is wrong with metadata that can be read."""
    name = metadata.get("name") or ""
    if not name and not metadata.get("generateName"):
        yield Finding("metadata.name", Rule.REQUIRED, "must be set")
    elif name and (len(name) > _LONGEST_NAME or not matches(name, DNS_SUBDOMAIN_PATTERN)):
        yield Finding("metadata.name", Rule.NAME, "must be a DNS name in lower case", shown(name))
    for key, value in (metadata.get("labels") or {}).items():
        if not _is_qualified_name(key):
            yield Finding("metadata.labels", Rule.NAME, f"{key!r} must be a label's key, [PREFIX/]NAME", shown(key))
        if value and not (len(value) <= _LONGEST_PART and matches(value, _PART)):
            message = (
                f"the value of {key} must be at most 63 letters, digits and - _ . , with a letter or digit at both ends"
            )
            yield Finding("metadata.labels", Rule.NAME, message, shown(value))
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        if not _is_qualified_name(key.lower()):
            message = f"{key!r} must be an annotation's key, [PREFIX/]NAME"
            yield Finding("metadata.annotations", Rule.NAME, message, shown(key))
    size = sum(len(key.encode()) + len((value or "").encode()) for key, value in annotations.items())
    if size > _LARGEST_ANNOTATIONS_BYTES:
        message = f"annotations have {size} bytes: at most {_LARGEST_ANNOTATIONS_BYTES} are allowed"
        yield Finding("metadata.annotations", Rule.MAX_LENGTH, message, text=str(_LARGEST_ANNOTATIONS_BYTES))


def _is_qualified_name(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= _LONGEST_NAME and matches(prefix, DNS_SUBDOMAIN_PATTERN)):
        return False
    return len(name) <= _LONGEST_PART and matches(name, _PART)
