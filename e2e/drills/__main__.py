"""``python -m e2e.drills``: break a served model on purpose and measure what follows; fails when a drill does."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from e2e import api, stack
from e2e.cluster import choose
from e2e.drills import report
from e2e.drills.events import DRILLS
from e2e.drills.judge import Result
from e2e.drills.run import run
from e2e.drills.target import Engine, serving
from e2e.progress import console, step

RESULTS = stack.REPOSITORY / "bench" / "results" / "drills.json"
_NAMES = ", ".join(drill.name for drill in DRILLS)


def main(
    only: Annotated[list[str] | None, typer.Option(help=f"Only this drill; may be repeated. One of: {_NAMES}.")] = None,
    engine: Annotated[Engine, typer.Option(help="What runs in the pods.")] = Engine.DOUBLE,
) -> None:
    """Run the drills, one after the other, on the running cluster (which is started when there is none)."""
    unknown = set(only or ()) - {drill.name for drill in DRILLS}
    if unknown:
        raise typer.BadParameter(f"no drill {', '.join(sorted(unknown))}; there are {_NAMES}", param_hint="--only")
    chosen = [drill for drill in DRILLS if not only or drill.name in only]
    cluster = choose()
    if not cluster.status().api_ready:
        stack.up(cluster, engine="engine-cpu" if engine is Engine.VLLM else "engine-double")
    results: list[Result] = []
    try:
        with api.connect(cluster) as kube, serving(cluster, kube, engine) as target:
            for drill in chosen:
                with step(f"{drill.name}: {drill.title}", expected_seconds=15 + target.load_seconds):
                    results.append(run(drill, target))
    finally:
        if results:
            report.write(RESULTS, results)
            report.show(results)
    console.print(f"{sum(result.passed for result in results)} of {len(chosen)} drills passed; figures: {RESULTS}")
    if not all(result.passed for result in results):
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
