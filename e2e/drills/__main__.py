"""``python -m e2e.drills``: break a served model on purpose and measure what follows; fails when a drill does."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from enum import StrEnum
from types import FrameType
from typing import Annotated, NoReturn

import typer

from e2e import api, stack
from e2e.cluster import Cluster, choose
from e2e.drills import page, report
from e2e.drills.catalogue import drills
from e2e.drills.drill import Drill
from e2e.drills.judge import Result
from e2e.drills.run import run
from e2e.drills.target import Engine, Site, site
from e2e.progress import console, step

_NAMES = ", ".join(dict.fromkeys(drill.name for drill in drills()))


class Engines(StrEnum):
    """What to run the drills with."""

    DOUBLE = "double"
    VLLM = "vllm"
    BOTH = "both"

    def chosen(self) -> tuple[Engine, ...]:
        return tuple(Engine) if self is Engines.BOTH else (Engine(self.value),)


def main(
    only: Annotated[list[str] | None, typer.Option(help=f"Only this drill; may be repeated. One of: {_NAMES}.")] = None,
    engine: Annotated[Engines, typer.Option(help="What runs in the pods.")] = Engines.BOTH,
    short: Annotated[  # noqa: FBT002 - a flag of a command line
        bool, typer.Option(help="A tenth of the requests under load; keeps nothing.")
    ] = False,
) -> None:
    """Run the drills, one after the other, on the running cluster (which is started when there is none)."""
    known = drills(short=short)
    unknown = set(only or ()) - {drill.name for drill in known}
    if unknown:
        raise typer.BadParameter(f"no drill {', '.join(sorted(unknown))}; there are {_NAMES}", param_hint="--only")
    signal.signal(signal.SIGTERM, _interrupt)
    cluster = choose()
    good = True
    for each in engine.chosen():
        chosen = [drill for drill in known if each in drill.engines and (not only or drill.name in only)]
        if chosen:
            good = _run_all(cluster, each, chosen, keep=not short) and good
    if not good:
        sys.exit(1)


def _run_all(cluster: Cluster, engine: Engine, chosen: Sequence[Drill], *, keep: bool) -> bool:
    if not cluster.status().api_ready:
        stack.up(cluster, engine="engine-cpu" if engine is Engine.VLLM else "engine-double")
    results: list[Result] = []
    with api.connect(cluster) as kube, site(cluster, kube, engine) as place:
        for drill in chosen:
            results.append(_one(drill, place, engine))
            if keep:
                report.write(page.RESULTS, results[-1:])
    report.show(results)
    if keep:
        page.main(())
    passed = sum(result.passed for result in results)
    console.print(f"{passed} of {len(chosen)} drills with the engine {engine} passed; figures: {page.RESULTS}")
    return passed == len(chosen)


def _one(drill: Drill, place: Site, engine: Engine) -> Result:
    with step(f"{drill.name}: {drill.title}", expected_seconds=30):
        result = run(drill, place, engine)
    for text in result.why:
        console.print(f"    [red]✗[/] {text}", markup=True)
    return result


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    """End as by Ctrl-C, which mends what was broken: without it nodes stay stopped and networks cut."""
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    typer.run(main)
