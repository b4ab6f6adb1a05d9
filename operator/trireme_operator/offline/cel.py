"""The rules in CEL, evaluated with the functions that Kubernetes adds to the language.

The evaluator is ``common-expression-language`` (docs/adr/0006-offline-rules.md says why and where it differs). It
brings the core of CEL; what rules use beyond that is registered here, and only here: quantities, and the extensions
for strings. Sources: https://kubernetes.io/docs/reference/using-api/cel/ and
k8s.io/apiserver v0.36.3, pkg/cel/library/quantity.go;
k8s.io/apimachinery v0.36.3, pkg/api/resource/quantity.go (ParseQuantity).
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterator, Sized
from fractions import Fraction
from typing import Any, Final

import cel

from trireme_operator.api.quantity import value_of
from trireme_operator.offline.decode import Schema
from trireme_operator.offline.finding import Finding, Rule, shown
from trireme_operator.offline.old import Old

_LONGEST_MESSAGE_BYTES: Final = 5 * 1024
_LITERAL_OR_SIZE: Final = re.compile(r"""r?'(?:\\.|[^'\\])*'|r?"(?:\\.|[^"\\])*"|\bsize(?=\s*\()""")
_QUANTITY: Final = re.compile(r"^([+-]?)([0-9]*)(?:\.([0-9]*))?(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?[0-9]+)?\Z")
_SMALLEST: Final = Fraction(1, 10**9)
_LARGEST: Final = 2**63 - 1
_FAR: Final = 64  # powers of ten that are beyond both ends, whatever they are taken of

# The evaluator logs what a function of ours raises; it becomes a finding, and that says it all.
logging.getLogger("cel").setLevel(logging.CRITICAL)


def findings(value: Any, schema: Schema, path: str, old: Old) -> Iterator[Finding]:
    """Every rule that the value or a part of it breaks; nulls are judged by the rules around them only.

    A rule that names ``oldSelf`` speaks only where there is an old value. Any other keeps silent about what has not
    changed since then.
    """
    if value is None:
        return
    scope = _Scope(value, old)
    for rule in schema.get("x-kubernetes-validations", ()):
        yield from _judge(rule, scope, path)
    if old.equals(value) and not _has_transitions(schema):
        return
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                yield from findings(value[name], child, f"{path}.{name}" if path else name, old.field(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from findings(item, schema.get("items", {}), f"{path}[{index}]", old.item(schema, item))


def matches(value: str, pattern: str) -> bool:
    """Whether a regular expression matches anywhere in the value, in time linear in its length.

    Raises:
        ValueError: the pattern is none.

    """
    return bool(_program("self.matches(pattern)").execute({"self": value, "pattern": pattern}))


class _Scope:
    """A node's value, and what rules see of it: each of the two contexts takes a copy of all that is below the node."""

    def __init__(self, value: Any, old: Old) -> None:
        self.value = value
        self.old = old

    @functools.cached_property
    def is_unchanged(self) -> bool:
        return self.old.equals(self.value)

    @functools.cached_property
    def alone(self) -> cel.Context:
        """For rules about the value."""
        return cel.Context({"self": self.value}, functions=_FUNCTIONS)

    @functools.cached_property
    def changing(self) -> cel.Context:
        """For rules about its change."""
        return cel.Context({"self": self.value, "oldSelf": self.old.value}, functions=_FUNCTIONS)


def _judge(rule: dict[str, str], scope: _Scope, path: str) -> Iterator[Finding]:
    text = rule["rule"]
    transition = _is_transition(text)
    if (transition and not scope.old.exists) or (not transition and scope.is_unchanged):
        return
    try:
        context = scope.changing if transition else scope.alone
        kept = _program(text).execute(context)
    except (ValueError, TypeError, RuntimeError, KeyError, IndexError, ArithmeticError) as error:
        yield Finding(path, Rule.CEL, f"{error} evaluating rule: {rule['message']}", shown(scope.value), text)
        return
    if kept is not True:
        field = rule.get("fieldPath", "")
        yield Finding(path + field, Rule.CEL, _message(rule, context), _value(scope.value, field), text)


def _message(rule: dict[str, str], context: cel.Context) -> str:
    """What the rule says with the values at hand; its fixed text when that fails, is empty, long or has line ends."""
    expression = rule.get("messageExpression")
    if expression is not None:
        try:
            said = str(_program(expression).execute(context)).strip()
        except (ValueError, TypeError, RuntimeError, KeyError, IndexError, ArithmeticError):
            said = ""
        if said and "\n" not in said and len(said.encode()) <= _LONGEST_MESSAGE_BYTES:
            return said
    return rule["message"].strip()


def _value(value: Any, field: str) -> str:
    """The blamed field below the value: a scalar as it stands; an object or list says too much to be shown."""
    for name in field.split(".")[1:]:
        value = value.get(name) if isinstance(value, dict) else None
    return "" if isinstance(value, dict | list | None) else shown(value)


@functools.cache
def _program(text: str) -> cel.Program:
    """A compiled expression. ``size`` is replaced by ours, because the evaluator counts bytes and CEL code points.

    Raises:
        ValueError: the text is no CEL.

    """
    return cel.compile(_LITERAL_OR_SIZE.sub(lambda found: "sizeOf" if found[0] == "size" else found[0], text))


@functools.cache
def _is_transition(text: str) -> bool:
    """Whether a rule names ``oldSelf``."""
    return "oldSelf" in _program(text).variables()


def _has_transitions(schema: Schema) -> bool:
    """Whether a rule at or below the node names ``oldSelf``."""
    own = any("oldSelf" in rule["rule"] for rule in schema.get("x-kubernetes-validations", ()))
    below = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return own or any(_has_transitions(child) for child in below)


def _size(value: Sized) -> int:
    return len(value)


def _amount(text: str) -> Fraction:
    """The number that Kubernetes reads from a quantity; it is more lenient than the pattern of our fields.

    No digits are a zero ("Gi"), what is finer than a billionth rounds up, what is beyond 64 bits becomes the largest.

    Raises:
        ValueError: the text is no quantity.

    """
    found = _QUANTITY.match(text)
    if found is None or not text:
        raise ValueError(f"{text!r} is no quantity: write a number with an optional unit, such as 500m, 2 or 16Gi")
    sign, whole, part, unit = found.groups("")
    if unit[-1:].isdigit():
        unit = f"e{max(-_FAR, min(_FAR, int(unit[1:])))}"
    size = value_of(f"{whole or 0}.{part or 0}{unit}")
    size = min(-(-size // _SMALLEST) * _SMALLEST, Fraction(_LARGEST))
    return -size if sign == "-" else size


def _quantity(text: str) -> dict[str, str]:
    """A quantity as a value that CEL can hand on: the exact number, as a fraction."""
    return {"quantity": str(_amount(text))}


def _is_quantity(text: str) -> bool:
    try:
        _amount(text)
    except ValueError:
        return False
    return True


def _compare(one: dict[str, str], other: dict[str, str]) -> int:
    first, second = Fraction(one["quantity"]), Fraction(other["quantity"])
    return (first > second) - (first < second)


def _lower_ascii(text: str) -> str:
    """Letters of ASCII only, as CEL has it."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new)


def _substring(text: str, start: int, end: int) -> str:
    """Code points from ``start`` up to ``end``; beyond the text is an error, as in CEL."""
    if not 0 <= start <= end <= len(text):
        raise ValueError(f"invalid substring range: {start}, {end}")
    return text[start:end]


_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "sizeOf": _size,
    "split": _split,
    "substring": _substring,
    "replace": _replace,
    "lowerAscii": _lower_ascii,
    "quantity": _quantity,
    "isQuantity": _is_quantity,
    "isGreaterThan": lambda one, other: _compare(one, other) > 0,
    "isLessThan": lambda one, other: _compare(one, other) < 0,
    "compareTo": _compare,
}
