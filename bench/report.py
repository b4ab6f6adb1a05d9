"""The table on the screen, and the file that keeps every figure with when, where and on what it was measured."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from bench.figures import LIMITS, NOT_YET, Figure, Limit
from e2e.host import CommandError, run
from e2e.versions import versions

RESULTS = Path(__file__).parent / "results" / "control-plane.json"
_ROOT = Path(__file__).parents[1]
_COLORS = {"pass": "green", "fail": "red", NOT_YET: "yellow"}
_DIGITS = 4


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    built = versions().binaries
    return {
        "cores": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6,
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "kubernetes": built["kubernetes"],
    }


def revision() -> str:
    """The commit, with ``+changes`` when files that matter here differ from it; ``unknown`` outside of git."""
    try:
        commit = run(["git", "rev-parse", "--short", "HEAD"], cwd=_ROOT).strip()
        changed = run(["git", "status", "--porcelain", "--", "operator", "bench"], cwd=_ROOT).strip()
    except CommandError:
        return "unknown"
    return f"{commit}+changes" if changed else commit


def entry(figure: Figure, *, load: tuple[float, float]) -> dict[str, Any]:
    """A figure as it is kept. ``load``: the machine's load average before and after, over one minute."""
    limit = figure.limit
    return {
        "value": round(figure.value, _DIGITS),
        "limit": limit.most,
        "unit": limit.unit,
        "status": figure.status,
        limit.counted: figure.size,
        "full_run": {limit.counted: limit.full},
        "within_limit": figure.within,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "machine": machine(),
        "load": {"before": round(load[0], 2), "after": round(load[1], 2)},
        "details": figure.details,
    }


def absent(limit: Limit) -> dict[str, Any]:
    """A figure that nobody has measured."""
    full = {limit.counted: limit.full}
    return {"value": None, "limit": limit.most, "unit": limit.unit, "status": NOT_YET, "full_run": full}


def merged(known: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Every figure once, in order: the new one, else the one that was known, else that there is none."""
    return {limit.key: new.get(limit.key) or known.get(limit.key) or absent(limit) for limit in LIMITS}


def keep(entries: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Write the file; returns all its figures."""
    known = json.loads(file.read_text())["figures"] if file.exists() else {}
    figures = merged(known, entries)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"figures": figures}, indent=2) + "\n")
    return figures


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The measured figures as a table, and below it what lies behind each."""
    table = Table(title="Control plane", title_justify="left", box=SIMPLE)
    for heading in ("figure", "value", "limit", "verdict", "measured over"):
        table.add_column(heading, justify="right" if heading in {"value", "limit"} else "left", overflow="fold")
    shown = [limit for limit in LIMITS if limit.key in figures]
    for limit in shown:
        found = figures[limit.key]
        verdict = found["status"]
        if verdict == NOT_YET:
            verdict = f"short run, {'within' if found['within_limit'] else 'above'}"
        size = f"{found[limit.counted]} of {limit.full} {limit.counted}"
        verdict = f"[{_COLORS[found['status']]}]{verdict}[/]"
        table.add_row(limit.key, f"{found['value']:g} {limit.unit}", f"{limit.most:g}", verdict, size)
    console.print(table)
    for limit in shown:
        console.print(f"[bold]{limit.key}[/]: {limit.what}")
        for key, value in figures[limit.key]["details"].items():
            if value not in ({}, []):
                console.print(f"    {key}: {_text(value)}", markup=False)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return str(value)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
