"""``python -m e2e.gpu``: everything of docs/gpu.md on the devices of this machine, with the engine's Python.

Each part's result is written as soon as it is there. What needs more devices than there are, or more time than is left,
is written as not run, with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from e2e.gpu import drills, machine, proofs, shapes, throughput

Obj = dict[str, Any]
PARTS = ("preflight", "throughput", "drills", "drills-one-pod")
_SECONDS_OF_A_LAYOUT = 150.0
_SECONDS_OF_A_DRILL = 110.0


def _failed(error: Exception) -> Obj:
    return {"failed": f"{type(error).__name__}: {str(error)[:6000]}", "passed": False}


class Results:
    """One JSON document that grows: ``add`` writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found: Obj = json.loads(path.read_text()) if path.exists() else {}

    def add(self, part: str, name: str, result: Obj) -> None:
        self.found.setdefault(part, {})[name] = result
        self._path.write_text(json.dumps(self.found, indent=1) + "\n")
        told = {key: value for key, value in result.items() if isinstance(value, (int, float, str, bool))}
        print(f"{time.strftime('%H:%M:%S')} {part} {name}: {json.dumps(told)[:600]}", flush=True)

    def attempt(self, part: str, name: str, run: Callable[[], Obj]) -> None:
        """The result of ``run``, or what went wrong."""
        try:
            self.add(part, name, run())
        except Exception as error:  # noqa: BLE001 - the other parts go on, and this one is recorded as failed
            traceback.print_exc()
            self.add(part, name, _failed(error))


class Run:
    """What is run here, within the seconds that were given."""

    def __init__(self, here: machine.Machine, results: Results, given: argparse.Namespace) -> None:
        self._here = here
        self._results = results
        self._ends: float = time.monotonic() + given.seconds
        self._only: list[str] = given.drills
        self._times: int = given.times
        self._round_seconds: float = given.round_seconds
        self._models = {
            experts: shapes.write_model(
                here.folder / ("experts" if experts else "dense"),
                shapes.config(experts=experts, tiny=here.rehearsal),
            )
            for experts in (False, True)
        }

    def left(self) -> float:
        """Seconds that are left."""
        return self._ends - time.monotonic()

    def preflight(self) -> None:
        here, model = self._here, self._models[False]
        two, one = shapes.TWO_PODS, shapes.ONE_POD
        cases: list[tuple[str, Callable[..., Obj], shapes.Layout]] = [
            ("two-pods", proofs.measured, two),
            ("one-pod", proofs.measured, one),
            ("device-hidden", proofs.hidden, two),
            ("memory-taken", proofs.taken, two),
            ("xid", proofs.xid, two),
        ]
        for name, case, layout in cases:
            if here.rehearsal and case is not proofs.measured:
                self._results.add("preflight", name, {"not_run": "there is no device"})
                continue
            run = partial(case, layout, here, model, folder=here.folder / f"preflight-{name}")
            self._attempt("preflight", name, layout, 30, run)

    def throughput(self, names: list[str], *, together: bool) -> None:
        """The layouts with these names, or all: one after the other, or loaded ``together`` and asked in turns."""
        wanted = [layout for layout in shapes.LAYOUTS if not names or layout.name in names]
        fitting = [layout for layout in wanted if self._fits("throughput", layout)]
        for layouts in [fitting] if together and fitting else [[layout] for layout in fitting]:
            self._compare(layouts)

    def _fits(self, part: str, layout: shapes.Layout) -> bool:
        """Whether it can be run here; what can't is written as not run."""
        if self._here.rehearsal and layout.experts:
            self._results.add(part, layout.name, {"not_run": "vLLM for processors has no expert parallelism"})
        elif self._here.devices < layout.world:
            self._results.add(part, layout.name, {"not_run": self._too_few(layout)})
        else:
            return True
        return False

    def _compare(self, layouts: list[shapes.Layout]) -> None:
        here = self._here
        prompts, times = (4, 1) if here.rehearsal else (512, self._times)
        left = self.left()
        if left < _SECONDS_OF_A_LAYOUT:
            for layout in layouts:
                self._results.add("throughput", layout.name, {"not_run": f"no time was left: {left:.0f} s"})
            return
        pairs = [(layout, self._models[layout.experts]) for layout in layouts]
        try:
            found = throughput.compare(pairs, here, prompts=prompts, times=times, seconds=self._round_seconds)
        except Exception as error:  # noqa: BLE001 - recorded as failed, and the other parts go on
            traceback.print_exc()
            found = {layout.name: _failed(error) for layout in layouts}
        for name, result in found.items():
            self._results.add("throughput", name, result)

    def drills(self, layout: shapes.Layout, part: str) -> None:
        here = self._here
        if here.devices < layout.world:
            self._results.add(part, "all", {"not_run": self._too_few(layout)})
            return
        stage = drills.Stage(
            layout,
            here,
            self._models[False],
            lambda name, result: self._results.add(part, name, result),
            here.folder / part,
        )
        wanted = [drill for drill in drills.of_layout(layout) if not self._only or drill.name in self._only]
        try:
            stage.run(wanted, left=self.left, needs=_SECONDS_OF_A_DRILL)
            self._results.add("memory", f"{layout.name}, {part}", stage.memory())
        except Exception as error:  # noqa: BLE001 - recorded as failed, and the other parts go on
            traceback.print_exc()
            self._results.add(part, "broken", _failed(error))
        finally:
            stage.group.kill()

    def _attempt(self, part: str, name: str, layout: shapes.Layout, seconds: float, run: Callable[[], Obj]) -> None:
        if self._here.devices < layout.world:
            self._results.add(part, name, {"not_run": self._too_few(layout)})
        elif self.left() < seconds:
            self._results.add(part, name, {"not_run": f"no time was left: {self.left():.0f} s"})
        else:
            self._results.attempt(part, name, run)

    def _too_few(self, layout: shapes.Layout) -> str:
        return f"it needs {layout.world} devices, and this machine has {self._here.devices}"


def main() -> None:
    """Runs the parts that were asked for; exits with 1 when one of them did not pass."""
    parser = argparse.ArgumentParser(prog="python -m e2e.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench/results/gpu.json"), help="where results are kept")
    parser.add_argument(
        "--rehearse", action="store_true", help="tiny models on processors: shows that it runs, no more"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to run; default: everything")
    parser.add_argument("--layouts", nargs="+", default=[], help="of the throughput; default: all")
    parser.add_argument("--drills", nargs="+", default=[], help="of the drills; default: all")
    parser.add_argument("--times", type=int, default=10, help="how often four rounds are measured, two of each side")
    parser.add_argument("--round-seconds", type=float, default=3600, help="measure no longer than this; fewer rounds")
    parser.add_argument("--together", action="store_true", help="load all layouts at once, and ask them in turns")
    parser.add_argument("--first-device", type=int, default=0, help="use devices from this number on")
    parser.add_argument("--devices", type=int, help="how many; default: all that follow")
    parser.add_argument("--seconds", type=float, default=7200, help="begin nothing that would take longer")
    parser.add_argument("--work", type=Path, help="a folder for models, logs and caches; default: one that is removed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="g") as place:
        folder = given.work or Path(place)
        here = machine.find(folder, rehearsal=given.rehearse, first=given.first_device, count=given.devices)
        results = Results(given.out)
        results.add("machine", time.strftime("%H%M%S"), machine.described(here))
        run = Run(here, results, given)
        for part in given.parts:
            if part == "preflight":
                run.preflight()
            elif part == "throughput":
                run.throughput(given.layouts, together=given.together)
            else:
                run.drills(shapes.TWO_PODS if part == "drills" else shapes.ONE_POD, part)
    parts = (value for key, value in results.found.items() if key != "machine")
    sys.exit(0 if all(each.get("passed", True) for part in parts for each in part.values()) else 1)


if __name__ == "__main__":
    main()
