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
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn, cast

from rich.table import Table

from e2e import host, results
from e2e.progress import console
from e2e.results import Results

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "test"
LATE = 124
"""The status of a phase that took longer than its limit, as of timeout(1)."""
_ENDING_SECONDS = 30
_LAST_WORDS_SECONDS = 5
_NAMED = 10
_NAME_WIDTH = 300


@dataclass(frozen=True)
class Phase:
    """One program of the gate."""

    name: str
    argv: tuple[str, ...]
    limit_seconds: int
    """After that long it is ended and has failed: a hang must not hang the gate."""
    needs: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    """Result files in the gate's folder that it writes."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to this process's own."""
    always: bool = False
    """Runs whatever happened before."""


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
        Phase(
            "integration",
            (*pytest, "-m", "integration", f"--junitxml={folder / 'integration.xml'}", "tests"),
            1800,
            tests=("integration.xml",),
        ),
        Phase("images", (python, "-m", "e2e.images", "build"), 3600),
        Phase("cluster", (python, "-m", "e2e.cluster", "up"), 1800, needs=("images",)),
        Phase("components", (python, "-m", "e2e.up"), 1800, needs=("cluster",)),
        Phase(
            "e2e",
            # In the order written: the first tests want a cluster on which nothing is served yet.
            (
                *pytest,
                "-m",
                "e2e",
                "-p",
                "no:randomly",
                "--durations=12",
                f"--junitxml={folder / 'e2e.xml'}",
                "e2e/tests",
            ),
            3600,
            needs=("components",),
            tests=("e2e.xml",),
        ),
        Phase(
            "engine",
            # The first start of the engine's image in a pod and the import of vLLM take a minute on a busy machine.
            (*pytest, "-m", "engine", "--timeout=400", f"--junitxml={folder / 'engine.xml'}", "tests"),
            900,
            needs=("components",),
            tests=("engine.xml",),
            environment={"TRIREME_ENGINE_PYTHON": str(ROOT / "scripts" / "engine-python")},
        ),
        Phase("down", (python, "-m", "e2e.cluster", "down"), 600, always=True),
    )


def run_all(chosen: Sequence[Phase], folder: Path, *, rescue: Callable[[Path], None] | None = None) -> list[Outcome]:
    """Run the phases in order. Before the last one after a failure, ``rescue`` may save what it destroys."""
    done: list[Outcome] = []
    lost: set[str] = set()
    for phase in chosen:
        if not phase.always and lost.intersection(phase.needs):
            console.rule(f"{phase.name}: left out, it needs {', '.join(sorted(lost.intersection(phase.needs)))}")
            outcome = Outcome(phase, None)
        else:
            if phase.always and lost and rescue is not None:
                rescue(folder / "cluster")
            outcome = _run(phase, folder)
        done.append(outcome)
        if not outcome.good:
            lost.add(phase.name)
    return done


def _run(phase: Phase, folder: Path) -> Outcome:
    console.rule(f"[bold]{phase.name}[/]")
    console.print(f"$ {' '.join(phase.argv)}", style="dim", markup=False)
    for file in phase.tests:
        (folder / file).unlink(missing_ok=True)
    started = time.monotonic()
    status = execute(phase, folder / f"{phase.name}.log")
    seconds = time.monotonic() - started
    files = [folder / file for file in phase.tests]
    missing = [file.name for file in files if not file.exists()]
    if status == 0 and missing:
        console.print(f"{phase.name} said that all is well and left no {', '.join(missing)}: its tests did not run")
        status = 1
    return Outcome(phase, status, seconds, results.read(files))


def execute(phase: Phase, log: Path) -> int:
    """Run a phase's program, its output shown live and kept in ``log``; returns its status (124 after its limit).

    It runs in a process group of its own, so that all of it can be ended: after the limit, and when this
    process is interrupted, it gets SIGINT and then, if that does not help, SIGKILL.
    """
    with log.open("w") as kept:
        process = subprocess.Popen(
            [*phase.argv],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **phase.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
        # A thread reads, so that a stray child that keeps the pipe open cannot keep the gate waiting.
        reader = threading.Thread(target=_show, args=(cast("IO[str]", process.stdout), kept), daemon=True)
        reader.start()
        late = ""
        try:
            status = process.wait(phase.limit_seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            status, late = LATE, f"ended after {phase.limit_seconds} s, its limit\n"
        except BaseException:
            _end(process)
            raise
        reader.join(_LAST_WORDS_SECONDS)
        kept.write(late)
        sys.stdout.write(late)
        return status


def _show(output: IO[str], kept: IO[str]) -> None:
    with output:
        for line in output:
            if kept.closed:
                return
            kept.write(line)
            sys.stdout.write(line)
            sys.stdout.flush()


def _end(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_ENDING_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def total(outcomes: Sequence[Outcome]) -> Results:
    """The sum over all phases; one that failed without a failed test counts as one failure."""
    sum_ = sum((outcome.results for outcome in outcomes), Results())
    silent = sum(1 for outcome in outcomes if outcome.status and not outcome.results.failed)
    return sum_ + Results(failed=silent)


def report(outcomes: Sequence[Outcome], folder: Path, *, strict: bool) -> int:
    """Print what happened, the counts in the last line; returns the exit status of the gate.

    With ``strict`` a skipped test without the one allowed excuse counts as failed.
    """
    table = Table("phase", "result", "seconds", "tests", box=None, pad_edge=False)
    for outcome in outcomes:
        word = "left out" if outcome.status is None else "ok" if outcome.good else f"failed ({outcome.status})"
        tests = str(outcome.results) if outcome.phase.tests and outcome.status is not None else ""
        table.add_row(outcome.phase.name, word, f"{outcome.seconds:.0f}", tests)
    table.add_row("total", "", f"{sum(outcome.seconds for outcome in outcomes):.0f}", "")
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
    try:
        _ensure_compiler()
        outcomes = run_all(chosen, FOLDER, rescue=_rescue)
    except KeyboardInterrupt:
        console.print("Interrupted: taking the cluster down")
        for phase in chosen:
            if phase.always:
                _run(phase, FOLDER)
        return 130
    return report(outcomes, FOLDER, strict=os.environ.get("CI") == "true")


if __name__ == "__main__":
    sys.exit(main())
