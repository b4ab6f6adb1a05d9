"""Quantities of Kubernetes ("500m", "16Gi"), in the one spelling that the API server gives back.

Some objects are written back by a controller that read them into Go types, and then "1024Mi" has become "1Gi".
What is applied must already be spelled that way, or each reconcile would see a difference.
Source: k8s.io/apimachinery v0.36.3, pkg/api/resource/quantity.go (CanonicalizeBytes) and suffix.go.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

_FORM = re.compile(r"^([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$")
_MAXIMUM_LENGTH: Final = 64
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SMALLEST: Final = Fraction(1, 10**9)

PATTERN: Final = r"^[0-9]+(\.[0-9]{1,9})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    Field(pattern=PATTERN, max_length=32),
    BeforeValidator(_as_text),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": PATTERN, "maxLength": 32}),
]
"""A quantity of the resource: a whole number, or text such as "500m" or "16Gi"; kept as text."""


def canonical(quantity: int | str) -> str:
    """The spelling of ``quantity`` that the API server stores.

    Raises:
        ValueError: the text is no quantity, or longer than any sensible one.

    """
    return _canonical_text(quantity) if isinstance(quantity, str) else _canonical(quantity)


@lru_cache(maxsize=1024)
def _canonical_text(quantity: str) -> str:
    """The same few texts come back with every look at every resource, and exact fractions take their time."""
    return _canonical(quantity)


def _canonical(quantity: int | str) -> str:
    found = _parts(quantity)
    sign, digits, unit = found[1], Fraction(found[2]), found[3] or ""
    value = digits * _factor(unit)
    value = -(-value // _SMALLEST) * _SMALLEST  # nothing finer than a billionth is kept; it rounds up
    return ("-" if sign == "-" and value else "") + _spell(value, unit)


def value_of(quantity: int | str) -> Fraction:
    """The exact number that ``quantity`` stands for.

    Raises:
        ValueError: the text is no quantity, or longer than any sensible one.

    """
    found = _parts(quantity)
    value = Fraction(found[2]) * _factor(found[3] or "")
    return -value if found[1] == "-" else value


def _parts(quantity: int | str) -> re.Match[str]:
    """Sign, digits and unit. Bounded, because the arithmetic is exact: an exponent of millions would take minutes."""
    text = str(quantity)
    if len(text) > _MAXIMUM_LENGTH:
        shown = text[:_MAXIMUM_LENGTH]
        raise ValueError(f"{shown!r}... is too long for a quantity: write at most {_MAXIMUM_LENGTH} characters")
    found = _FORM.match(text)
    if found is None:
        raise ValueError(
            f"{text!r} is no quantity: write a number with an optional unit, such as 500m, 2 or 16Gi; "
            "an exponent has at most two digits"
        )
    return found


def _factor(unit: str) -> Fraction:
    if unit in _BINARY:
        return Fraction(1024 ** _BINARY[unit])
    if unit in _DECIMAL:
        return Fraction(10) ** _DECIMAL[unit]
    return Fraction(10) ** int(unit[1:])


def _spell(value: Fraction, unit: str) -> str:
    if value == 0:
        return "0"
    if unit in _BINARY and value >= 1024 and value.denominator == 1:  # noqa: PLR2004  (the first binary unit)
        exponent = max(n for n in range(7) if value.numerator % 1024**n == 0)
        suffix = next((name for name, n in _BINARY.items() if n == exponent), "")
        return f"{value.numerator // 1024**exponent}{suffix}"
    exponent = max(n for n in _DECIMAL.values() if (value / Fraction(10) ** n).denominator == 1)
    mantissa = value / Fraction(10) ** exponent
    if unit[:1] in {"e", "E"} and unit != "E":
        return f"{mantissa}" if exponent == 0 else f"{mantissa}e{exponent}"
    suffix = next(name for name, n in _DECIMAL.items() if n == exponent)
    return f"{mantissa}{suffix}"
