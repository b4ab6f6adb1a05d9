"""What documents for property tests are made of: one maker a value, good most of the time, odd once in a while."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

Document = dict[str, Any]
Maker = Callable[[random.Random], Any]
"""Makes one value of a field."""

ODD = [None, True, False, 0, -1, 3.5, 1e30, 2**31, 2**63, -(2**70), "", "7", "null", [], {}, ["x"], {"a": None}, [None]]
SHORT_TEXTS = ["a", "zone-a", "Zone_B.1", "-a", "a-", "ü", "a\n", "x" * 63, "x" * 64, "a" * 254, "a b"]
QUANTITIES = [
    0,
    1,
    8,
    -5,
    "8",
    "500m",
    "0.5",
    "1Gi",
    "1024Mi",
    "1073741824",
    "1G",
    "16Gi",
    "0.1234567891",
    "1e3",
    "-1",
    "Gi",
    "1E",
    "9" * 33,
]


def one(values: list[Any]) -> Maker:
    """One of the values."""
    return lambda chance: copy.deepcopy(chance.choice(values))


_ODD = one(ODD)


def mostly(good: Maker, odd: Maker = _ODD, *, of: int = 60) -> Maker:
    """A good value, and once in a while (1 of ``of``) an odd one."""
    return lambda chance: (odd if chance.randrange(of) == 0 else good)(chance)


def pick(good: list[Any], edge: list[Any]) -> Maker:
    """A good value most of the time, else one at or beyond an edge of the rules, seldom an odd one."""
    return mostly(mostly(one(good), one(edge), of=8))


def fields(required: dict[str, Maker], **optional: Maker) -> Maker:
    """An object; now and then without a field it needs, or with one that nobody knows."""

    def make(chance: random.Random) -> Document:
        made = {name: value(chance) for name, value in required.items() if chance.randrange(80)}
        made |= {name: value(chance) for name, value in optional.items() if chance.randrange(2)}
        return made | ({} if chance.randrange(100) else {chance.choice(["tensr", "x-y"]): 1})

    return mostly(make)


def some(required: dict[str, Maker], **optional: Maker) -> Maker:
    """An object with at most three of its optional fields: with all of them, hardly one would be good as a whole."""

    def make(chance: random.Random) -> Document:
        chosen = chance.sample(sorted(optional), k=min(len(optional), chance.randrange(4)))
        return {name: value(chance) for name, value in {**required, **{n: optional[n] for n in chosen}}.items()}

    return mostly(make)


def seldom(make: Maker) -> Maker:
    """Null, which is as if the field were absent, most of the time."""
    return lambda chance: make(chance) if chance.randrange(6) == 0 else None


def lists(item: Maker, *, least: int = 0) -> Maker:
    """A short list, seldom one that is empty or longer than any of ours may be."""
    short: Maker = lambda chance: [item(chance) for _ in range(chance.randrange(least, least + 3))]  # noqa: E731
    long: Maker = lambda chance: [item(chance) for _ in range(chance.choice([0, 16, 17, 65]))]  # noqa: E731
    return mostly(mostly(short, long, of=30))
