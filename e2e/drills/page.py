"""The table in ``docs/drills.md``, made of ``bench/results/drills.json``: ``python -m e2e.drills.page [--check]``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from e2e.drills.catalogue import drills
from e2e.stack import REPOSITORY

RESULTS = REPOSITORY / "bench" / "results" / "drills.json"
PAGE = REPOSITORY / "docs" / "drills.md"
BEGIN, END = "<!-- begin: python -m e2e.drills.page -->", "<!-- end -->"

_LIMITS = {
    "failed": "{:g} failed",
    "out_of_rotation_seconds": "out {:g} s",
    "recovered_seconds": "whole {:g} s",
    "ended_seconds": "all ended {:g} s",
    "last_failed_seconds": "last failure {:g} s",
    "longest_silence_seconds": "silence {:g} s",
    "weight_moved_seconds": "traffic moved {:g} s",
    "zones_out": "{:g} zone out at a time",
    "returns": "{:g} returns",
}
_TABLE = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False).from_string(  # noqa: S701  (Markdown)
    """\
| drill | engine | failed of requests | out of rotation | traffic moved | whole again | first cause | budget | result |\
 date |
|---|---|---|---|---|---|---|---|---|---|
{% for row in rows %}
| {{ row.drill }} | {{ row.engine }} | {{ row.failed }} of {{ row.requests }} | {{ row.out }} |\
 {{ row.moved }} | {{ row.whole }} | {{ row.cause }} | {{ row.budget }} | {{ row.result }} | {{ row.date }} |
{% endfor %}

Each drill alone is `python -m e2e.drills --only NAME`:

| drill | what is done | not yet measured with |
|---|---|---|
{% for drill in drills %}
| {{ drill.name }} | {{ drill.title }} | {{ drill.missing | join(", ") }} |
{% endfor %}
"""
)


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """The generated part of the page, from the rows of the file of results."""
    known = drills()
    order = [drill.name for drill in known]
    shown = sorted(
        (row for row in rows if row["drill"] in order), key=lambda row: (row["engine"], order.index(row["drill"]))
    )
    measured = {(row["drill"], row["engine"]) for row in rows}
    described: dict[str, dict[str, Any]] = {}
    for drill in known:  # a name comes once for each engine where its figures differ; the first is the full one
        of_name = described.setdefault(drill.name, {"name": drill.name, "title": drill.title, "missing": []})
        of_name["missing"] += [str(each) for each in sorted(drill.engines) if (drill.name, str(each)) not in measured]
    return _TABLE.render(rows=[_cells(row) for row in shown], drills=described.values())


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "drill": row["drill"],
        "engine": row["engine"],
        "failed": row["failed"],
        "requests": row["requests"],
        "out": seconds(row["out_of_rotation_seconds"]),
        "moved": seconds(row.get("weight_moved_seconds")),
        "whole": seconds(row["recovered_seconds"]),
        "cause": cell(row["first_cause"]) or "none",
        "budget": _budget(row["budget"]),
        "result": "passed" if row["passed"] else f"failed: {cell(row['why'])}",
        "date": row["at"][:10],
    }


def seconds(value: float | None) -> str:
    """In one cell, to a tenth."""
    return "-" if value is None else f"{value:.1f} s"


def _budget(budget: Mapping[str, float | None]) -> str:
    found = [(text, budget.get(name)) for name, text in _LIMITS.items()]
    return ", ".join(text.format(limit) for text, limit in found if limit is not None)


def cell(text: str) -> str:
    """Text of a program in one cell: no line ends, no bars, no tags."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def page(text: str, table: str, *, begin: str = BEGIN) -> str:
    """The page with a new generated part. Raises ValueError when the marks are not there."""
    before, found, rest = text.partition(begin)
    _, end, after = rest.partition(END)
    if not found or not end:
        raise ValueError(f"the page has no {begin} followed by {END}: put them back")
    return f"{before}{begin}\n\n{table.strip()}\n\n{END}{after}"


def wanted() -> str:
    """The page as it must be."""
    return page(PAGE.read_text(), render(json.loads(RESULTS.read_text())))


def keep(file: Path, text: str, *, check: bool, made_by: str) -> int:
    """Write the page, or with ``check`` only say whether it is as it must be; returns the exit status."""
    if not check:
        file.write_text(text)
        return 0
    if file.read_text() == text:
        return 0
    sys.stderr.write(f"{file} is not what was measured: run python -m {made_by}\n")
    return 1


def main(arguments: Sequence[str]) -> int:
    return keep(PAGE, wanted(), check="--check" in arguments, made_by="e2e.drills.page")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
