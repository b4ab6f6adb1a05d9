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
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.table import Table

from e2e import host, results
from e2e.cluster import local
from e2e.lanes import ROOT, Lanes, Outcome
from e2e.phase import Phase
from e2e.progress import console
from e2e.results import Results

FOLDER = ROOT / "build" / "test"
# In the order written: the tests share a cluster.
_END_TO_END = ("-m", "e2e and not drill", "-p", "no:randomly")
_LOCAL_CLUSTER = "e2e/tests/test_local_cluster.py"
_NAMED = 10
_NAME_WIDTH = 300


def phases(folder: Path) -> tuple[Phase, ...]:
    """What the gate runs: the cluster's way in one lane, in another what needs processors more than a cluster.

    The limits are some times what a cold machine with two cores needs.
    """
    return (
        Phase(
            "check",
            ("make", "check", f"RESULTS={folder}"),
            1800,
            tests=("unit.xml", "waiting.xml"),
            lane="beside",
            favoured=True,  # over before models load, beside which its tests that count seconds would starve
        ),
        # All programs before any test that stands on them: a test has no time for a compiler.
        Phase("programs", (sys.executable, "-m", "e2e.toolchain", "build"), 3600),
        Phase("images", (sys.executable, "-m", "e2e.images", "build"), 3600, needs=("programs",)),
        _integration(folder),
        Phase("cluster", (sys.executable, "-m", "e2e.cluster", "up"), 1800, needs=("images",)),
        # Trireme comes first, and meets the APIs that it works with as they are installed.
        Phase("trireme", (sys.executable, "-m", "e2e.up", "--alone"), 1800, needs=("cluster",)),
        *_on_the_cluster(folder),
        # The images stay for the next gate, to which they are a minute of both processors; `make down` removes them.
        Phase("down", (sys.executable, "-m", "e2e.cluster", "down", "--keep-images"), 600, always=True),
    )


def _integration(folder: Path) -> Phase:
    # First, because it can run while a cold machine makes images.
    workers = ("-n", "2", "--dist", "loadfile")
    modules = marked("integration")
    return _tests(folder, "integration", "-m", "integration", *workers, *modules, needs=("programs",), lane="beside")


def marked(kind: str) -> list[str]:
    """The modules of tests with that marker, from the root of the repository.

    That they have it is read in their text, or in their folder's name: to collect all modules takes seconds of a
    processor, in each worker again.
    """
    modules = sorted((ROOT / "tests").rglob("test_*.py"))
    chosen = [each for each in modules if each.parent.name == kind or f"pytest.mark.{kind}" in each.read_text()]
    return [str(each.relative_to(ROOT)) for each in chosen]


def _on_the_cluster(folder: Path) -> Iterator[Phase]:
    """First what installs the platform, then what only waits beside what computes, last what harms the cluster."""
    first, served = _modules("late_apis", "components"), _modules("engine")
    quiet = _modules("gateway", "conditions", "models")
    rounds, queue, load, zones = map(_modules, ("autoscaling", "autoscaling_queue", "load", "zones"))
    loading = (sys.executable, "-m", "e2e.up", "--engine")
    yield Phase("engine-image", loading, 1800, needs=("cluster",), lane="waiting")
    yield _on_it(folder, "platform", *first, needs=("trireme",))
    yield _on_it(folder, "autoscaling", *rounds, needs=("platform",), lane="waiting")
    yield _on_it(folder, "queue", *queue, needs=("platform",), lane="queue")
    yield _on_it(folder, "conditions", *quiet, needs=("platform",), lane="queue")
    yield _on_it(folder, "served", *served, needs=("platform", "engine-image"))
    # Each in a namespace of its own; what they cordon and drain holds nothing else up.
    yield replace(_on_it(folder, "zones", *zones, needs=("platform",), lane="waiting"), after=("served",))
    yield replace(_on_it(folder, "load", *load, needs=("platform",)), after=("queue",))
    yield from _on_the_engine(folder)
    if local.usable():
        # A cluster of its own, when least else is to do.
        own = _tests(folder, "local-cluster", *_END_TO_END, _LOCAL_CLUSTER, needs=("images",), lane="queue")
        yield replace(own, after=("load", "zones"))
    # These cut off and stop nodes and replace operators: nothing that counts failed requests runs beside them.
    apart = (_LOCAL_CLUSTER, *first, *quiet, *served, *rounds, *queue, *load, *zones)
    rest = [f"--ignore={module}" for module in apart]
    others = _on_it(folder, "e2e", *rest, "e2e/tests", needs=("platform",))
    yield replace(others, after=("autoscaling", "queue", "conditions", "zones"))


def _on_the_engine(folder: Path) -> Iterator[Phase]:
    """With vLLM in a pod of the cluster: its import takes a minute on a busy machine, a group some minutes."""
    python = {"TRIREME_ENGINE_PYTHON": str(ROOT / "scripts" / "engine-python")}
    words, modules = ("-m", "engine", "--timeout=400"), marked("engine")
    groups = [module for module in modules if module.endswith("test_groups.py")]
    single = [module for module in modules if module not in groups]
    ready = ("platform", "engine-image")
    first = _tests(folder, "engine", *words, *single, needs=ready, lane="models")
    yield replace(first, environment=python, after=("served",))
    # Groups that load models starve those that count failed requests, or seconds.
    last = _tests(folder, "groups", *words, *groups, needs=ready, lane="models")
    yield replace(last, environment=python, after=("load", "zones", "integration"))


def _modules(*names: str) -> list[str]:
    return [f"e2e/tests/test_{name}.py" for name in names]


def _on_it(folder: Path, name: str, *words: str, needs: tuple[str, ...], lane: str = "") -> Phase:
    """Tests that mostly wait for the cluster: a kubectl that waits for a processor looks like a slow cluster."""
    return replace(_tests(folder, name, *_END_TO_END, *words, needs=needs, lane=lane), favoured=True)


def _tests(folder: Path, name: str, *words: str, needs: tuple[str, ...], lane: str = "") -> Phase:
    file = f"{name}.xml"
    argv = (sys.executable, "-m", "pytest", "--durations=12", f"--junitxml={folder / file}", *words)
    return Phase(name, argv, 1800, needs=needs, tests=(file,), lane=lane)


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
        outcomes = Lanes(chosen, FOLDER, rescue=_rescue).run()
    except KeyboardInterrupt:
        console.print("Interrupted: taking the cluster down")
        Lanes([phase for phase in chosen if phase.always], FOLDER).run()
        return 130
    return report(outcomes, FOLDER, strict=os.environ.get("CI") == "true", seconds=time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
