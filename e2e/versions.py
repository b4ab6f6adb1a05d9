"""``versions.toml``, read: which version of everything real is built, installed and tested against."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("versions.toml")


class VersionsError(ValueError):
    """versions.toml does not have the shape that is described there."""


@dataclass(frozen=True)
class Versions:
    """The tables of versions.toml; each maps a name to a version without a leading ``v``."""

    binaries: Mapping[str, str]
    python: Mapping[str, str]
    engine: Mapping[str, str]


@cache
def versions() -> Versions:
    """The versions of this checkout."""
    return parse(FILE.read_text())


def parse(text: str) -> Versions:
    """Read the text of a versions.toml.

    Raises:
        VersionsError: a table is missing or unknown, or a version is not a plain string like "1.2.3".

    """
    tables = tomllib.loads(text)
    known = tuple(Versions.__dataclass_fields__)
    if set(tables) != set(known):
        raise VersionsError(f"versions.toml: has the tables {sorted(tables)}, must have {sorted(known)}")
    return Versions(**{table: _table(table, tables[table]) for table in known})


def _table(table: str, rows: object) -> Mapping[str, str]:
    if not isinstance(rows, dict):
        raise VersionsError(f"versions.toml: {table} must be a table")
    for name, version in rows.items():
        if not isinstance(version, str) or not version[:1].isdigit():
            raise VersionsError(
                f'versions.toml: {table}.{name} = {version!r}: write the version as text, without a v: "1.2.3"'
            )
    return rows
