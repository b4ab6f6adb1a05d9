"""The gate's phases in lanes: one at a time in each lane, in the order written, each when what it needs is good.

Most of a gate is waiting (for an autoscaler's round, a grace period, a lease), so what only waits runs beside what
computes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from e2e import results
from e2e.phase import Phase, Running
from e2e.progress import console
from e2e.results import Results

ROOT = Path(__file__).parents[1]
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Outcome:
    """How a phase ended. ``status`` is None when it was left out because something it needs failed."""

    phase: Phase
    status: int | None
    seconds: float = 0.0
    results: Results = field(default_factory=Results)

    @property
    def good(self) -> bool:
        return self.status == 0


@dataclass
class Lanes:
    """Phases on their way. None outlives `run`, whatever ends it."""

    chosen: Sequence[Phase]
    folder: Path
    rescue: Callable[[Path], None] | None = None
    """Called after a failure before the first phase that runs ``always``: it may save what that destroys."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    """By lane."""

    def run(self) -> list[Outcome]:
        """Run all to the end; the outcomes in the order of the phases."""
        try:
            while len(self.outcomes) < len(self.chosen):
                self._start_what_may()
                time.sleep(_LOOK_SECONDS)
                self._finish_what_ended()
        except BaseException:
            for running in self.running.values():
                running.stop()
            raise
        return [self.outcomes[phase.name] for phase in self.chosen]

    def _start_what_may(self) -> None:
        for phase in self._waiting():
            bad = [name for name in phase.needs if name in self.outcomes and not self.outcomes[name].good]
            if bad and not phase.always:
                console.rule(f"{phase.name}: left out, it needs {', '.join(bad)}")
                self.outcomes[phase.name] = Outcome(phase, None)
            elif self._may_start(phase):
                self._start(phase)

    def _waiting(self) -> list[Phase]:
        started = {running.phase.name for running in self.running.values()}
        return [phase for phase in self.chosen if phase.name not in self.outcomes and phase.name not in started]

    def _may_start(self, phase: Phase) -> bool:
        """Whether its lane is free, no earlier phase of the lane waits, and all that it needs is done."""
        before = self._waiting()[: self._waiting().index(phase)]
        if phase.always:
            return not before and not self.running
        chosen = {each.name for each in self.chosen}
        needed = all(name in self.outcomes for name in (*phase.needs, *phase.after) if name in chosen)
        return needed and phase.lane not in self.running and all(other.lane != phase.lane for other in before)

    def _start(self, phase: Phase) -> None:
        if phase.always and self.rescue is not None and not all(outcome.good for outcome in self.outcomes.values()):
            self.rescue(self.folder / "cluster")
        console.rule(f"[bold]{phase.name}[/]")
        console.print(f"$ {' '.join(phase.argv)}", style="dim", markup=False)
        for file in phase.tests:
            (self.folder / file).unlink(missing_ok=True)
        self.running[phase.lane] = Running(phase, self.folder / f"{phase.name}.log", folder=ROOT)

    def _finish_what_ended(self) -> None:
        for lane, running in list(self.running.items()):
            if running.is_over():
                self.outcomes[running.phase.name] = self._outcome(running)
                del self.running[lane]

    def _outcome(self, running: Running) -> Outcome:
        phase = running.phase
        if phase.beside:
            console.rule(f"[bold]{phase.name}[/], which ran meanwhile")
        status, seconds = running.finish()
        files = [self.folder / file for file in phase.tests]
        missing = [file.name for file in files if not file.exists()]
        if status == 0 and missing:
            console.print(f"{phase.name} said that all is well and left no {', '.join(missing)}: its tests did not run")
            status = 1
        return Outcome(phase, status, seconds, results.read(files))
