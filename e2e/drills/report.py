"""The results, for people and as ``bench/results/drills.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from e2e.drills.judge import Result
from e2e.progress import console


def write(file: Path, results: Sequence[Result]) -> None:
    """Put results into the file's list; those of other drills and engines stay as they are."""
    rows = json.loads(file.read_text()) if file.exists() else []
    new = {(result.drill, str(result.engine)): result.row() for result in results}
    kept = [row for row in rows if (row["drill"], row["engine"]) not in new]
    file.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted([*kept, *new.values()], key=lambda row: (row["engine"], row["drill"]))
    file.write_text(json.dumps(ordered, indent=2) + "\n")


def show(results: Sequence[Result]) -> None:
    """A table of at least one result, and under it the first cause of each drill and why it failed."""
    table = Table(
        *("drill", "requests", "failed", "last", "out", "weight", "whole", ""),
        title=f"Drills with the engine {results[0].engine}",
        caption="seconds after the event: the last failed request began, the leader was out of rotation, "
        "the route's weight moved, the group was whole again",
        title_justify="left",
        caption_justify="left",
    )
    for result in results:
        measured = result.measured
        table.add_row(
            result.drill,
            str(measured.requests),
            str(measured.failed),
            _seconds(measured.last_failed_seconds),
            _seconds(measured.out_of_rotation_seconds),
            _seconds(measured.weight_moved_seconds),
            _seconds(measured.recovered_seconds),
            "[green]passed[/]" if result.passed else "[red]failed[/]",
        )
    console.print(table)
    for result in results:
        console.print(f"[bold]{result.drill}[/]: {result.measured.first_cause or 'nothing ended in error'}")
        for text in result.why:
            console.print(f"  [red]✗[/] {text}")
        for text in result.measured.faults:
            console.print(f"  requests: {text}", style="dim", markup=False)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
