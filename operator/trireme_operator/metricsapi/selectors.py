"""Label selectors as they stand in a URL (k8s.io/apimachinery, pkg/labels/selector.go)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_KEY: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_SET: Final = re.compile(rf"\s*({_KEY})\s+(in|notin)\s*\(([^()]*)\)\s*")
_EQUAL: Final = re.compile(rf"\s*({_KEY})\s*(==|=|!=)\s*([A-Za-z0-9._-]*)\s*")
_EXISTS: Final = re.compile(rf"\s*(!?)\s*({_KEY})\s*")
_LIMIT: Final = 8192


class SelectorError(ValueError):
    """Not a label selector."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One part: `values` of None asks for the key alone; without the key a negated one holds."""

    key: str
    values: frozenset[str] | None
    negated: bool

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil it."""
        found = labels.get(self.key)
        held = found is not None and (self.values is None or found in self.values)
        return held is not self.negated


def parse(text: str) -> tuple[Requirement, ...]:
    """The parts, all of which must hold; none for an empty selector. Raises SelectorError."""
    if len(text) > _LIMIT:
        raise SelectorError("the selector is too long")
    found = []
    at = 0
    while at < len(text):
        requirement, at = _next(text, at)
        found.append(requirement)
        if at < len(text) and (text[at] != "," or not text[at + 1 :].strip()):
            raise SelectorError(f"unexpected {text[at : at + 20]!r}")
        at += 1
    return tuple(found)


def _next(text: str, at: int) -> tuple[Requirement, int]:
    if match := _SET.match(text, at):
        values = frozenset(value.strip() for value in match[3].split(","))
        return Requirement(match[1], values, match[2] == "notin"), match.end()
    if match := _EQUAL.match(text, at):
        return Requirement(match[1], frozenset({match[3]}), match[2] == "!="), match.end()
    if match := _EXISTS.match(text, at):
        return Requirement(match[2], None, bool(match[1])), match.end()
    raise SelectorError(f"unexpected {text[at : at + 20]!r}")
