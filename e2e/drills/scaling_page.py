"""The tables at the end of ``docs/autoscaling.md``: ``python -m e2e.drills.scaling_page [--check]``.

They are made of ``bench/results/autoscaling.json``, which the tests marked ``drill`` write: ``steps`` of the load, and
``outages`` of the metrics server. What has not been run has no row.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from e2e.drills.page import cell, keep, page, seconds
from e2e.stack import REPOSITORY

RESULTS = REPOSITORY / "bench" / "results" / "autoscaling.json"
PAGE = REPOSITORY / "docs" / "autoscaling.md"
BEGIN = "<!-- begin: python -m e2e.drills.scaling_page -->"

Row = Mapping[str, Any]

_KEYS = {"steps": ("engine", "run", "zone"), "outages": ("outage",)}
_STEPS = (
    "engine and run",
    "zone",
    "groups",
    "more asked for",
    "all asked for",
    "all ready",
    "queue of a leader",
    "fell",
    "one asked for",
    "others gone",
    "failed of requests",
    "result",
    "date",
)
_OUTAGES = (
    "the metrics server",
    "groups kept",
    "a namespace gone",
    "kubectl",
    "status said it",
    "told again",
    "one group again",
    "failed of requests",
    "date",
)


def write(table: str, rows: Sequence[Row], file: Path = RESULTS) -> None:
    """Put rows into a table of the file, in place of those that they repeat; those of other runs stay as they are."""
    keys = _KEYS[table]
    known = _read(file)
    new = {tuple(row[key] for key in keys): dict(row) for row in rows}
    old = {tuple(row[key] for key in keys): dict(row) for row in known[table]}
    known[table] = [row for _, row in sorted((old | new).items())]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(known, indent=2) + "\n")


def render(known: Mapping[str, Sequence[Row]]) -> str:
    """The generated part of the page."""
    parts = []
    if known["steps"]:
        parts.append(_table(_STEPS, map(_step, known["steps"])))
    if known["outages"]:
        parts.append(_table(_OUTAGES, map(_outage, known["outages"])))
    return "\n\n".join(parts) or "Nothing has been measured yet."


def _table(heads: Sequence[str], rows: Any) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _step(row: Row) -> list[str]:
    passed = "passed" if not row["why"] else f"failed: {cell(row['why'])}"
    after = "-" if row["queue_after"] is None else row["queue_after"]
    return [
        f"{row['engine']} {row['run']}",
        row["zone"],
        f"1 to {row['groups']} to 1",
        *(seconds(row[f"{name}_seconds"]) for name in ("patched", "asked", "ready")),
        f"{row['queue_longest']} to {after}",
        *(seconds(row[f"{name}_seconds"]) for name in ("fell", "down", "ended")),
        f"{row['failed']} of {row['requests']}",
        passed,
        row["at"][:10],
    ]


def _outage(row: Row) -> list[str]:
    return [
        cell(row["outage"]),
        str(row["groups"]),
        *(seconds(row[f"{name}_seconds"]) for name in ("namespace", "kubectl", "said", "registered", "healed")),
        f"{row['failed']} of {row['requests']}",
        row["at"][:10],
    ]


def _read(file: Path) -> dict[str, list[Row]]:
    found = json.loads(file.read_text()) if file.exists() else {}
    return {table: list(found.get(table, ())) for table in _KEYS}


def wanted() -> str:
    """The page as it must be."""
    return page(PAGE.read_text(), render(_read(RESULTS)), begin=BEGIN)


def main(arguments: Sequence[str]) -> int:
    return keep(PAGE, wanted(), check="--check" in arguments, made_by="e2e.drills.scaling_page")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
