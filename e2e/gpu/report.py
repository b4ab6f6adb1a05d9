"""The figures of docs/gpu.md, made from bench/results/gpu.json; ``python -m e2e.gpu.report`` writes the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench.pairs import ratio_of

Obj = dict[str, Any]

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs/gpu.md"
RESULTS: Final = ROOT / "bench/results/gpu.json"
_BEGIN: Final = "<!-- figures: python -m e2e.gpu.report -->\n"
_END: Final = "<!-- end of figures -->\n"


def figures(results: Obj) -> str:
    """All tables, and what was not run."""
    parts = (_machines(results), _throughput(results), _memory(results), _drills(results), _preflight(results))
    return "\n".join([*(line for part in parts for line in part), *_not_run(results)]) + "\n"


def _machines(results: Obj) -> Iterator[str]:
    times: dict[str, list[str]] = {}
    for each in results.get("machine", {}).values():
        devices = "; ".join(dict.fromkeys(each["devices"])) or "no device"
        python = f"torch {each['torch']}, Python {each['python']}, Linux {each['kernel']}"
        times.setdefault(f"{len(each['devices'])} x {devices} (driver), {python}", []).append(each["at"])
    for machine, began in times.items():
        yield f"{machine}. Runs begun at {', '.join(began)}."
    yield ""


def _ran(results: Obj, part: str) -> list[tuple[str, Obj]]:
    return [(name, each) for name, each in results.get(part, {}).items() if "not_run" not in each]


def _throughput(results: Obj) -> Iterator[str]:
    yield from ("### Throughput", "")
    yield (
        "| layout | launcher, tokens/s | bare, tokens/s | ratio (at least 0.99) | 95 % interval | TTFT ratio"
        " | TPOT ratio | rounds of each |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, each in _ran(results, "throughput"):
        if "failed" in each:
            yield f"| {name} | failed: {_short(each['failed'])} | | | | | | |"
            continue
        rates = (each["launcher_tokens_per_second"], each["bare_tokens_per_second"])
        low, high = each.get("interval", ("", ""))
        ratios = (each["throughput_ratio"], f"{low} to {high}", each["ttft_ratio"], each["tpot_ratio"])
        yield f"| {name} | {' | '.join(str(cell) for cell in (*rates, *ratios, len(each['bare'])))} |"
    yield from ("", *_together(results), "")


def _together(results: Obj) -> Iterator[str]:
    """All pairs of rounds of all layouts: one layout's are too few for a narrow interval."""
    rates: dict[str, list[float]] = {
        side: [
            one["output_throughput"]
            for _, each in _ran(results, "throughput")
            if "failed" not in each
            for one in each[side]
        ]
        for side in ("launcher", "bare")
    }
    if len(rates["bare"]) > 1:
        found = ratio_of(rates["launcher"], rates["bare"])
        interval = f"{found.low:.4f} to {found.high:.4f}"
        yield f"All {len(rates['bare'])} pairs of rounds together: {found.value:.4f}, 95 % interval {interval}."


def _memory(results: Obj) -> Iterator[str]:
    yield from ("### Memory of a rank, planned and reported", "")
    yield "| layout | stage | weights planned, GiB | reported | off | room for KV planned, GiB | reported | off |"
    yield "|---|---|---|---|---|---|---|---|"
    found = [(name, each.get("memory", {})) for name, each in _ran(results, "throughput")]
    for name, each in [*found, *_ran(results, "memory")]:
        for stage in each.get("stages", []):
            cells = [str(stage["stage"])]
            for kind in ("weights", "room"):
                cells += [str(stage[f"{kind}_planned_gib"]), _several(stage[f"{kind}_reported_gib"])]
                cells.append(_percent(stage[f"{kind}_off"]))
            yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def _drills(results: Obj) -> Iterator[str]:
    yield from ("### Drills", "")
    yield (
        "| drill | out of rotation, s | limit, s | launchers ended, s | processes gone, s | memory free, s |"
        " first cause | next start, s | passed |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for part in ("drills", "drills-one-pod"):
        for name, each in _ran(results, part):
            yield from _drill(f"{name}, one pod" if part != "drills" else name, each)
    yield ""


def _drill(name: str, each: Obj) -> Iterator[str]:
    if "failed" in each:
        yield f"| {name} | failed: {_short(each['failed'])} | | | | | | | no |"
        return
    if "streams" in each:
        lost = len(each["lost"])
        told = f"{lost} of {each['streams']} streams lost, exit codes {each['exit_codes']}"
        cells = (each["out_of_rotation_seconds"], "", each["seconds"])
    else:
        cause = each["first_cause"] or {"reason": "none", "pod": ""}
        told = f"{cause['reason']} of {cause['pod']}{'' if each['first_cause_right'] else ' (wrong)'}"
        cells = (each["out_of_rotation_seconds"], each["limit_seconds"], each["launchers_ended_seconds"])
    shown = " | ".join("" if cell is None else str(cell) for cell in cells)
    gone, free = each["processes_gone_seconds"], each["memory_free_seconds"]
    verdict = "yes" if each["passed"] else "no"
    yield f"| {name} | {shown} | {gone} | {free} | {told} | {each.get('next_start_seconds', '')} | {verdict} |"


def _preflight(results: Obj) -> Iterator[str]:
    yield from ("### Preflight and XID", "", "| case | seconds | found | passed |", "|---|---|---|---|")
    for name, each in _ran(results, "preflight"):
        if "failed" in each:
            found = _short(each["failed"])
        elif "checks" in each:
            told = [check for check in each["checks"] if check["name"] in {"pairwise", "allReduce"}]
            found = "; ".join(f"{check['name']} {check.get('value')} {check.get('unit', '')}" for check in told)
        else:
            found = each.get("message") or f"{each['program']}: {'; '.join(each['after'])}"
        verdict = "yes" if each["passed"] else "no"
        yield f"| {name} | {each.get('seconds', '')} | {_short(found)} | {verdict} |"
    yield ""


def _not_run(results: Obj) -> Iterator[str]:
    yield from ("### Not run", "")
    for part, cases in results.items():
        for name, each in cases.items():
            if "not_run" in each:
                yield f"- {part}, {name}: {each['not_run']}."


def _several(values: list[float]) -> str:
    return ", ".join(str(value) for value in dict.fromkeys(values)) or "not logged"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value * 100:+.1f} %"


def _short(text: str) -> str:
    flat = " ".join(text.split()).replace("|", "\\|")
    return flat if len(flat) <= 300 else f"{flat[:300]} …"  # noqa: PLR2004


def written(page: str, results: Obj) -> str:
    """The page with the figures in their place."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{figures(results)}\n{_END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(), json.loads(RESULTS.read_text())))
