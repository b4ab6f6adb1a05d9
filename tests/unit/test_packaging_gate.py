"""The gate tells the truth: what it counts, what it leaves out, how it ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from e2e import gate, lanes, results
from e2e.cluster import local
from e2e.lanes import Lanes, Outcome
from e2e.phase import ENDING_SECONDS, LATE, Phase, Running
from e2e.results import Results
from e2e.tests.conftest import ORDER

JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest">
 <testcase classname="a" name="passes"/>
 <testcase classname="a" name="fails"><failure message="assert 1 == 2"/></testcase>
 <testcase classname="a" name="fixture_breaks"><error message="boom"/></testcase>
 <testcase classname="a" name="has_no_gpu"><skipped type="pytest.skip" message="no GPU on this machine"/></testcase>
 <testcase classname="a" name="is_lazy"><skipped type="pytest.skip" message="too slow"/></testcase>
 <testcase classname="a" name="known_bug"><skipped type="pytest.xfail" message="upstream"/></testcase>
</testsuite></testsuites>
"""


def python(name: str, code: str, *, needs: tuple[str, ...] = (), always: bool = False) -> Phase:
    return Phase(name, (sys.executable, "-c", code), 30, needs=needs, always=always)


def test_results_are_counted_as_a_person_would(tmp_path: Path) -> None:
    (tmp_path / "unit.xml").write_text(JUNIT)

    found = results.read([tmp_path / "unit.xml"])

    assert str(found) == "2 passed, 2 failed, 2 skipped"
    assert found.unexcused == ("a::is_lazy: too slow",)
    assert found.broken == ("a::fails: assert 1 == 2", "a::fixture_breaks: boom")


def test_a_failure_is_told_with_the_one_that_came_first(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "def ended(process):\n"
        "    assert process\n\n\n"
        "def test_it():\n"
        "    try:\n"
        "        raise OSError('address in use')\n"
        "    finally:\n"
        "        ended(None)\n"
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=it.xml", "test_it.py"]
    subprocess.run(argv, cwd=tmp_path, capture_output=True, check=False)

    (told,) = results.read([tmp_path / "it.xml"]).broken

    assert told == "test_it::test_it: assert None, after OSError: address in use (at test_it.py:7, test_it.py:2)"


@pytest.mark.parametrize(
    "text",
    [pytest.param(None, id="pytest never wrote it"), pytest.param("<testsuites><testcase", id="pytest was killed")],
)
def test_a_result_file_that_is_not_whole_counts_as_nothing(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "unit.xml"
    if text is not None:
        file.write_text(text)

    assert results.read([file]) == Results()


def test_a_failed_phase_stops_what_needs_it_and_nothing_else(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    note = f"open({str(marks)!r}, 'a').write('%s ')"
    rescued: list[bool] = []

    outcomes = Lanes(
        [
            python("broken", "raise SystemExit(3)"),
            python("independent", note % "independent"),
            python("dependent", note % "dependent", needs=("broken",)),
            python("after-that", note % "after-that", needs=("dependent",)),
            python("down", note % "down", always=True),
        ],
        tmp_path,
        rescue=lambda _folder: rescued.append("down" not in marks.read_text()),
    ).run()

    assert [outcome.status for outcome in outcomes] == [3, 0, None, None, 0]
    assert marks.read_text() == "independent down "
    assert rescued == [True], "the cluster's logs are collected once, before it is taken down"


def test_nothing_is_collected_when_all_is_well(tmp_path: Path) -> None:
    outcomes = Lanes(
        [python("fine", ""), python("down", "", always=True)],
        tmp_path,
        rescue=lambda _folder: pytest.fail("there is nothing to rescue"),
    ).run()

    assert all(outcome.good for outcome in outcomes)


def test_what_a_phase_says_is_shown_and_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Lanes([python("talk", "import sys; print('out'); print('err', file=sys.stderr)")], tmp_path).run()

    assert sorted((tmp_path / "talk.log").read_text().split()) == ["err", "out"]
    assert "out" in capfd.readouterr().out


def test_a_phase_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import subprocess, sys; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"open({str(pid)!r}, 'w').write(str(child.pid)); "
        "child.wait()"
    )
    started = time.monotonic()

    phase = Phase("hang", (sys.executable, "-c", code), limit_seconds=2)
    status, _ = Running(phase, tmp_path / "hang.log", folder=tmp_path).finish()

    assert status == LATE
    # At once when the signal finds the program ready; after the grace before SIGKILL when it is still starting.
    assert time.monotonic() - started < ENDING_SECONDS + 30
    assert "its limit" in (tmp_path / "hang.log").read_text()
    assert not _alive(int(pid.read_text()))


def test_what_mostly_waits_has_more_of_the_processors_where_that_is_allowed(tmp_path: Path) -> None:
    # After a moment: its session is favoured when it has started.
    code = (
        "import os, pathlib, time; time.sleep(0.5); group = pathlib.Path('/proc/self/autogroup'); "
        "text = group.read_text() if group.exists() else ''; "
        "print(os.getsid(0) == os.getpid(), os.nice(0), (text.split() or ['none'])[-1])"
    )
    phase = Phase("light", (sys.executable, "-c", code), 30, favoured=True)
    status, _ = Running(phase, tmp_path / "light.log", folder=tmp_path).finish()
    leads, niceness, group = (tmp_path / "light.log").read_text().split()[-3:]

    capabilities = re.search(r"^CapEff:\s*(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    allowed = capabilities is not None and bool(int(capabilities[1], 16) >> 23 & 1)  # CAP_SYS_NICE
    assert (status, leads) == (0, "True")
    assert int(niceness) == os.nice(0) - (5 if allowed else 0)
    assert group in {"none", "-5" if allowed else "0"}
    favoured = {phase.name for phase in gate.phases(Path("build/test")) if phase.favoured}
    assert favoured == {"check", "platform", "autoscaling", "queue", "conditions", "served", "zones", "load", "e2e"}


def _alive(pid: int) -> bool:
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state == "Z":
            return False
        time.sleep(0.1)
    return True


def test_two_phases_run_at_the_same_time_and_what_the_second_says_comes_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    meet = (
        "import pathlib, time; here = pathlib.Path({here!r}); there = pathlib.Path({there!r}); here.touch();"
        "deadline = time.monotonic() + 20\n"
        "while not there.exists() and time.monotonic() < deadline: time.sleep(0.01)\n"
        "print('met' if there.exists() else 'alone')"
    )
    first, second = str(tmp_path / "first"), str(tmp_path / "second")

    outcomes = Lanes(
        [
            python("one", meet.format(here=first, there=second)),
            replace(python("two", meet.format(here=second, there=first)), lane="beside"),
        ],
        tmp_path,
    ).run()

    assert [outcome.status for outcome in outcomes] == [0, 0]
    assert [(tmp_path / f"{name}.log").read_text() for name in ("one", "two")] == ["met\n", "met\n"]
    assert capfd.readouterr().out.count("met\n") == 2


def test_an_interrupt_ends_every_phase_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"

    def interrupted(_: Running) -> bool:
        deadline = time.monotonic() + 20
        while not pid.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(Running, "is_over", interrupted)
    code = (
        f"import os, time; f = open({str(pid) + '.new'!r}, 'w'); f.write(str(os.getpid())); f.close();"
        f"os.rename(f.name, {str(pid)!r}); time.sleep(600)"
    )

    with pytest.raises(KeyboardInterrupt):
        Lanes(
            [python("one", "import time; time.sleep(600)"), replace(python("two", code), lane="beside")], tmp_path
        ).run()

    assert not _alive(int(pid.read_text()))


def test_phases_of_one_lane_follow_each_other_and_wait_for_what_they_need(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    note = f"open({str(marks)!r}, 'a').write('%s ')"
    marks.touch()
    until_marked = f"import os, time\nwhile not os.path.getsize({str(marks)!r}): time.sleep(0.01)\n"

    Lanes(
        [
            python("slow", until_marked + note % "slow"),
            replace(python("needs-slow", note % "needs-slow", needs=("slow",)), lane="beside"),
            replace(python("quick", note % "quick"), lane="beside"),
            replace(python("third", note % "third", needs=("a phase that was not chosen",)), lane="third"),
            python("last", note % "last", always=True),
        ],
        tmp_path,
    ).run()

    order = marks.read_text().split()
    assert order[0] == "third"
    assert order[1:] == ["slow", "needs-slow", "quick", "last"], "a lane keeps its order, also while it waits"


def test_a_phase_waits_for_one_that_fails_without_needing_it(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    fails = f"import sys, time; time.sleep(0.5); open({str(marks)!r}, 'a').write('failed '); sys.exit(1)"
    follows = replace(
        python("follows", f"open({str(marks)!r}, 'a').write('followed ')"), lane="beside", after=("fails",)
    )

    outcomes = Lanes([python("fails", fails), follows], tmp_path).run()

    assert marks.read_text().split() == ["failed", "followed"]
    assert [outcome.good for outcome in outcomes] == [False, True]


def test_tests_that_silently_did_not_run_are_a_failure(tmp_path: Path) -> None:
    phase = Phase("unit", (sys.executable, "-c", ""), 30, tests=("unit.xml",))

    (outcome,) = Lanes([phase], tmp_path).run()

    assert outcome.status == 1


def outcome(name: str, status: int | None, found: Results | None = None) -> Outcome:
    return Outcome(Phase(name, (), 1, tests=("x.xml",)), status, 1.0, found or Results())


@pytest.mark.parametrize(
    ("outcomes", "strict", "last_line", "status"),
    [
        pytest.param(
            [outcome("check", 0, Results(10)), outcome("e2e", 0, Results(5, 0, 1))],
            True,
            "15 passed, 0 failed, 1 skipped",
            0,
            id="green, with an excused skip",
        ),
        pytest.param(
            [outcome("check", 2, Results(10)), outcome("e2e", 0, Results(5))],
            True,
            "15 passed, 1 failed, 0 skipped",
            1,
            id="a lint error counts as one failure",
        ),
        pytest.param(
            [outcome("check", 1, Results(9, 1)), outcome("e2e", None)],
            True,
            "9 passed, 1 failed, 0 skipped",
            1,
            id="a phase left out is no failure of its own",
        ),
        pytest.param(
            [outcome("check", 0, Results(9, 0, 2, ("a::b: lazy",)))],
            True,
            "9 passed, 1 failed, 1 skipped",
            1,
            id="in CI a skip without an excuse is a failure",
        ),
        pytest.param(
            [outcome("check", 0, Results(9, 0, 2, ("a::b: lazy",)))],
            False,
            "9 passed, 0 failed, 2 skipped",
            0,
            id="elsewhere it is not",
        ),
    ],
)
def test_the_last_line_is_the_sum(
    outcomes: list[Outcome],
    strict: bool,
    last_line: str,
    status: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert gate.report(outcomes, Path("build/test"), strict=strict, seconds=3.0) == status
    assert capfd.readouterr().out.splitlines()[-1] == last_line


def test_failed_tests_are_named_at_the_end_where_a_ci_shows_them(capfd: pytest.CaptureFixture[str]) -> None:
    found = Results(failed=12, broken=tuple(f"a::test_{number}: said {'much ' * 90}" for number in range(12)))

    gate.report([outcome("e2e", 1, found)], Path("build/test"), strict=True, seconds=3.0)

    lines = capfd.readouterr().out.splitlines()[-12:]
    assert [line.split(":")[2] for line in lines[:-2]] == [f"test_{number}" for number in range(10)]
    assert max(map(len, lines)) <= 300


@pytest.mark.parametrize("root", [True, False])
def test_the_gate_covers_every_tier_and_always_takes_the_cluster_down(
    monkeypatch: pytest.MonkeyPatch, root: bool
) -> None:
    monkeypatch.setattr(local, "usable", lambda: root)
    names = [phase.name for phase in gate.phases(Path("build/test"))]

    own = ["local-cluster"] if root else []
    on_it = ["engine-image", "platform", "autoscaling", "queue", "conditions", "served"]
    last = ["zones", "load", "engine", "groups", *own, "e2e", "down"]
    assert names == ["check", "programs", "images", "integration", "cluster", "trireme", *on_it, *last]
    assert [phase.name for phase in gate.phases(Path("build/test")) if phase.always] == ["down"]


def test_each_module_that_needs_the_cluster_is_in_one_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "usable", lambda: True)
    phases = gate.phases(Path("build/test"))
    (others,) = (phase for phase in phases if "e2e/tests" in phase.argv)
    named = [word for phase in phases if phase is not others for word in phase.argv if word.startswith("e2e/tests/")]
    assert len(named) == len(set(named))
    assert {word.removeprefix("--ignore=") for word in others.argv if word.startswith("--ignore=")} == set(named)


def test_nothing_that_counts_requests_runs_beside_what_harms_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "usable", lambda: True)
    phases = gate.phases(Path("build/test"))
    (others,) = (phase for phase in phases if "e2e/tests" in phase.argv)
    own_lane = {phase.name for phase in phases if not phase.lane}
    assert own_lane | set(others.after) >= {"served", "load", "zones", "queue", "conditions", "autoscaling"}


@pytest.mark.parametrize("kind", ["integration", "engine"])
def test_no_module_with_a_marker_is_left_out(kind: str) -> None:
    tests = lanes.ROOT / "tests"
    named = {lanes.ROOT / each for each in gate.marked(kind)}
    assert named >= set((tests / kind).glob("test_*.py"))
    speaking = {file for file in tests.rglob("*.py") if f"mark.{kind}" in file.read_text()}
    assert speaking - named <= {tests / kind / "conftest.py", Path(__file__)}
    assert {"tests/unit/test_planning_model_real.py", "tests/unit/test_packaging_rights.py"} & set(gate.marked(kind))


def test_an_unknown_phase_is_refused_with_the_known_ones_and_nothing_is_removed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gate, "FOLDER", tmp_path)
    (tmp_path / "unit.xml").touch()
    with pytest.raises(SystemExit):
        gate.main(["--only", "e3e"])

    assert (tmp_path / "unit.xml").exists()
    assert "there is no such phase, only check, programs" in capsys.readouterr().err


def test_every_module_that_needs_the_cluster_has_its_place() -> None:
    found = {file.stem for file in (lanes.ROOT / "e2e" / "tests").glob("test_*.py")}
    assert found == set(ORDER)
    assert len(ORDER) == len(found)
