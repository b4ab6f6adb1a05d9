"""``make test``: everything once, in order, on this machine.

Each phase is a program of its own. What it says is shown as it says it and kept in ``build/test/NAME.log``.
A phase that fails does not stop those that do not need it; the cluster is taken down in any case, after a
failure only when its logs are safe. The last line is the sum over all tests:
``N passed, N failed, N skipped``, where a phase that failed without a failed test (a lint error, say) counts
as one. With ``CI=true`` a test may be skipped for no other reason than a missing GPU.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.table import Table

from e2e import host, results
from e2e.cluster import local
from e2e.phase import Phase, Running
from e2e.progress import console
from e2e.results import Results

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "test"
_LOCAL_CLUSTER = "e2e/tests/test_local_cluster.py"
_NAMED = 10
_NAME_WIDTH = 300


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


def phases(folder: Path) -> tuple[Phase, ...]:
    """What the gate runs, in order. The limits are some times what a cold machine with two cores needs."""
    python = sys.executable
    pytest = (python, "-m", "pytest")
    return (
        Phase(
            "check", ("make", "check", f"RESULTS={folder}"), 1800, tests=("unit.xml", "processes.xml", "launchers.xml")
        ),
        # All programs before any test that stands on them: a test has no time for a compiler.
        Phase("programs", (python, "-m", "e2e.toolchain", "build"), 3600),
        Phase("images", (python, "-m", "e2e.images", "build"), 3600, needs=("programs",)),
        Phase(
            "integration",
            (
                *pytest,
                "-m",
                "integration",
                "-n",
                "2",
                "--dist",
                "loadfile",
                f"--junitxml={folder / 'integration.xml'}",
                "tests",
            ),
            1800,
            needs=("programs",),
            tests=("integration.xml",),
        ),
        *((_local_cluster(pytest, folder),) if local.usable() else ()),
        Phase("cluster", (python, "-m", "e2e.cluster", "up"), 1800, needs=("images",)),
        Phase("components", (python, "-m", "e2e.up"), 1800, needs=("cluster",)),
        Phase(
            "e2e",
            # In the order written: the first tests want a cluster on which nothing is served yet.
            (*_e2e(pytest, folder / "e2e.xml"), f"--ignore={_LOCAL_CLUSTER}", "e2e/tests"),
            3600,
            needs=("components",),
            tests=("e2e.xml",),
        ),
        Phase(
            "engine",
            # The first start of the engine's image in a pod and the import of vLLM take a minute on a busy machine, a
            # group of two pods some minutes.
            (*pytest, "-m", "engine", "--timeout=400", f"--junitxml={folder / 'engine.xml'}", "tests"),
            1500,
            needs=("components",),
            tests=("engine.xml",),
            environment={"TRIREME_ENGINE_PYTHON": str(ROOT / "scripts" / "engine-python")},
        ),
        Phase("down", (python, "-m", "e2e.cluster", "down"), 600, always=True),
    )


def _local_cluster(pytest: tuple[str, ...], folder: Path) -> Phase:
    """A cluster of its own is taken apart and mostly waited for, so it goes beside tests that use no cluster."""
    argv = (*_e2e(pytest, folder / "local-cluster.xml"), _LOCAL_CLUSTER)
    return Phase("local-cluster", argv, 1800, needs=("images",), tests=("local-cluster.xml",), beside=True)


def _e2e(pytest: tuple[str, ...], results_file: Path) -> tuple[str, ...]:
    return (*pytest, "-m", "e2e", "-p", "no:randomly", "--durations=12", f"--junitxml={results_file}")


def run_all(chosen: Sequence[Phase], folder: Path, *, rescue: Callable[[Path], None] | None = None) -> list[Outcome]:
    """Run the phases in order. Before the last one after a failure, ``rescue`` may save what it destroys."""
    done: list[Outcome] = []
    lost: set[str] = set()
    for together in _side_by_side(chosen):
        left_out = [phase for phase in together if not phase.always and lost.intersection(phase.needs)]
        for phase in left_out:
            console.rule(f"{phase.name}: left out, it needs {', '.join(sorted(lost.intersection(phase.needs)))}")
        if lost and rescue is not None and any(phase.always for phase in together):
            rescue(folder / "cluster")
        ran = run([phase for phase in together if phase not in left_out], folder)
        done += [*(Outcome(phase, None) for phase in left_out), *ran]
        lost.update(outcome.phase.name for outcome in done if not outcome.good)
    return done


def _side_by_side(chosen: Sequence[Phase]) -> Iterator[list[Phase]]:
    """The phases in order, those that run at the same time together."""
    together: list[Phase] = []
    for phase in chosen:
        if together and not phase.beside:
            yield together
            together = []
        together.append(phase)
    if together:
        yield together


def run(together: Sequence[Phase], folder: Path) -> list[Outcome]:
    """Run phases at the same time; none outlives this call."""
    started: list[Running] = []
    try:
        for phase in together:
            console.rule(f"[bold]{phase.name}[/]")
            console.print(f"$ {' '.join(phase.argv)}", style="dim", markup=False)
            for file in phase.tests:
                (folder / file).unlink(missing_ok=True)
            started.append(Running(phase, folder / f"{phase.name}.log", folder=ROOT))
        return [_outcome(running, folder) for running in started]
    except BaseException:
        for running in started:
            running.stop()
        raise


def _outcome(running: Running, folder: Path) -> Outcome:
    phase = running.phase
    if phase.beside:
        console.rule(f"[bold]{phase.name}[/], which ran meanwhile")
    status, seconds = running.finish()
    files = [folder / file for file in phase.tests]
    missing = [file.name for file in files if not file.exists()]
    if status == 0 and missing:
        console.print(f"{phase.name} said that all is well and left no {', '.join(missing)}: its tests did not run")
        status = 1
    return Outcome(phase, status, seconds, results.read(files))


def total(outcomes: Sequence[Outcome]) -> Results:
    """The sum over all phases; one that failed without a failed test counts as one failure."""
    sum_ = sum((outcome.results for outcome in outcomes), Results())
    silent = sum(1 for outcome in outcomes if outcome.status and not outcome.results.failed)
    return sum_ + Results(failed=silent)


def report(outcomes: Sequence[Outcome], folder: Path, *, strict: bool, seconds: float) -> int:
    """Print what happened in ``seconds``, the counts in the last line; returns the exit status of the gate.

    With ``strict`` a skipped test without the one allowed excuse counts as failed.
    """
    table = Table("phase", "result", "seconds", "tests", box=None, pad_edge=False)
    for outcome in outcomes:
        word = "left out" if outcome.status is None else "ok" if outcome.good else f"failed ({outcome.status})"
        tests = str(outcome.results) if outcome.phase.tests and outcome.status is not None else ""
        table.add_row(outcome.phase.name, word, f"{outcome.seconds:.0f}", tests)
    table.add_row("total", "", f"{seconds:.0f}", "")
    console.rule("[bold]summary[/]")
    console.print(table)
    sum_ = total(outcomes)
    if strict and sum_.unexcused:
        console.print(f"Skipped, though nothing but '{results.EXCUSE}' excuses it:")
        for name in sum_.unexcused:
            console.print(f"  {name}", markup=False)
        sum_ += Results(failed=len(sum_.unexcused), skipped=-len(sum_.unexcused))
    bad = [outcome.phase.name for outcome in outcomes if not outcome.good]
    # Near the end, because the end is what a CI shows of a long log.
    for name in sum_.broken[:_NAMED]:
        console.print(f"  {name}"[:_NAME_WIDTH], markup=False, highlight=False)
    if bad:
        console.print(f"FAILED: {', '.join(bad)}. Logs: {folder}", markup=False)
    console.print(str(sum_))
    return 1 if bad or sum_.failed else 0


def _rescue(folder: Path) -> None:
    # Imported here: the cluster's modules are what a broken tree may fail to import, and the summary must come.
    from e2e import cluster, diagnosis  # noqa: PLC0415

    console.print(f"Collecting what the cluster knows into {folder}", markup=False)
    try:
        chosen = cluster.choose()
        if chosen.status().running:
            diagnosis.collect(chosen, folder)
    except Exception as error:  # noqa: BLE001  (a diagnosis must not hide the failure it is about)
        console.print(f"The cluster says nothing: {error}", markup=False)


def _ensure_compiler() -> None:
    """Some tests compile a few lines of C and are skipped without a compiler; a gate leaves nothing out."""
    if shutil.which("gcc") is None:
        try:
            host.ensure_packages("gcc", "libc6-dev")
        except (host.HostError, host.CommandError) as error:
            console.print(f"Without a C compiler some tests are skipped: {error}", markup=False)


def _interrupted(number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(signal.Signals(number).name)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.gate", description="Run everything once.")
    parser.add_argument("--only", action="append", metavar="PHASE", help="run these phases and `down` (repeat it)")
    parser.add_argument("--keep-cluster", action="store_true", help="leave the cluster running at the end")
    options = parser.parse_args(arguments)
    every = phases(FOLDER)
    known = [phase.name for phase in every]
    for name in options.only or ():
        if name not in known:
            parser.error(f"--only {name}: there is no such phase, only {', '.join(known)}")
    chosen = [
        phase
        for phase in every
        if (phase.always and not options.keep_cluster)
        or (not phase.always and (not options.only or phase.name in options.only))
    ]
    signal.signal(signal.SIGTERM, _interrupted)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    started = time.monotonic()
    try:
        _ensure_compiler()
        outcomes = run_all(chosen, FOLDER, rescue=_rescue)
    except KeyboardInterrupt:
        console.print("Interrupted: taking the cluster down")
        for phase in chosen:
            if phase.always:
                run([phase], FOLDER)
        return 130
    return report(outcomes, FOLDER, strict=os.environ.get("CI") == "true", seconds=time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
