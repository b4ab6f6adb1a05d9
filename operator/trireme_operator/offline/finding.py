"""One thing that is wrong with a document, and the names of the rules that a document can break."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

_SHOWN_CHARACTERS: Final = 120


class Rule(StrEnum):
    """Which rule was broken: the schema's keyword, ``cel`` for a rule in CEL, ``accepted`` for the operator's own."""

    UNKNOWN_FIELD = "unknown field"
    IDENTITY = "identity"
    NAME = "name"
    TYPE = "type"
    FORMAT = "format"
    REQUIRED = "required"
    ENUM = "enum"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    MIN_LENGTH = "minLength"
    MAX_LENGTH = "maxLength"
    PATTERN = "pattern"
    MIN_ITEMS = "minItems"
    MAX_ITEMS = "maxItems"
    DUPLICATE = "duplicate"
    CEL = "cel"
    ACCEPTED = "accepted"


BLOCKING: Final = frozenset({Rule.TYPE, Rule.REQUIRED, Rule.ENUM, Rule.MAX_LENGTH, Rule.MAX_ITEMS})
"""While one of these is broken the API server evaluates no rule in CEL.

Source: k8s.io/apiextensions-apiserver v0.36.3, pkg/registry/customresource/strategy.go, hasBlockingErr.
"""


@dataclass(frozen=True)
class Finding:
    """A broken rule: where, which, what stands there (as JSON, cut when it is long) and what to write instead.

    ``text`` is the rule itself: a bound, a pattern, the text of a rule in CEL.
    """

    path: str
    rule: Rule
    message: str
    value: str = ""
    text: str = ""

    def as_json(self) -> dict[str, str]:
        """The finding for other programs; what is empty is left out."""
        fields = {
            "path": self.path,
            "rule": self.rule.value,
            "message": self.message,
            "value": self.value,
            "text": self.text,
        }
        return {name: value for name, value in fields.items() if value}


def shown(value: Any) -> str:
    """A value as JSON, at most 120 characters of it."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
