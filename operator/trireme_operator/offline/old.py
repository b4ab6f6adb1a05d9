"""What stood at a node before an update, where that can be told.

Fields correspond by name and items of a keyed list by their keys; items of any other list correspond to nothing. A
node that is equal to what it was, or inside of one that is, keeps its old faults (ratcheting): the server refuses an
update only for what it changes.
Sources: pkg/apiserver/validation/ratcheting.go and pkg/apiserver/schema/cel/validation.go of
k8s.io/apiextensions-apiserver v0.36.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Schema = dict[str, Any]


class _Absent:
    """No value; None is one."""


_ABSENT: Final = _Absent()


@dataclass(frozen=True)
class Old:
    """The old value of a node. ``value`` is `None` where there is none: the server compares no nulls either."""

    _value: Any = _ABSENT

    @property
    def exists(self) -> bool:
        """Whether there is an old value that the node corresponds to."""
        return not isinstance(self._value, _Absent) and self._value is not None

    @property
    def value(self) -> Any:
        """The old value, None without one."""
        return self._value if self.exists else None

    def equals(self, value: Any) -> bool:
        """Whether the node is what it was."""
        return self.exists and _same(self._value, value)

    def field(self, name: str) -> Old:
        """The old value of a field of this node."""
        if self.exists and isinstance(self._value, dict) and name in self._value:
            return Old(self._value[name])
        return NEW

    def item(self, schema: Schema, item: Any) -> Old:
        """The old value of an item of this list, found by the list's keys."""
        if schema.get("x-kubernetes-list-type") != "map" or not isinstance(item, dict):
            return NEW
        key = [item.get(name) for name in schema["x-kubernetes-list-map-keys"]]
        for candidate in self._value if isinstance(self._value, list) else ():
            if isinstance(candidate, dict) and [candidate.get(n) for n in schema["x-kubernetes-list-map-keys"]] == key:
                return Old(candidate)
        return NEW


NEW: Final = Old()
"""Of something that was not there before: a new document, or a part of one that has no counterpart."""


def _same(one: Any, other: Any) -> bool:
    """Equal in value and type: True is not 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)
