"""Processes are found again after their starter is gone, and nobody else's is ever taken for ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster.processes import Daemon, ProcessError, ancestors, end, marked


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon("sleeper", ["sleep", "300"], tmp_path, "trireme-unit")
    yield daemon
    daemon.stop(grace_seconds=1)


def test_a_daemon_is_started_once(sleeper: Daemon) -> None:
    assert sleeper.start()
    pid = sleeper.pid()
    assert pid is not None
    assert not sleeper.start()
    assert sleeper.pid() == pid


def test_a_daemon_leads_a_session_of_its_own(sleeper: Daemon) -> None:
    sleeper.start()
    pid = sleeper.pid()
    assert pid is not None
    assert os.getsid(pid) == pid


def test_a_stopped_daemon_is_gone_and_may_be_stopped_again(sleeper: Daemon) -> None:
    sleeper.start()
    pid = sleeper.pid()
    sleeper.stop()
    sleeper.stop()
    assert sleeper.pid() is None
    assert not Path(f"/proc/{pid}").exists()


def test_what_ignores_sigterm_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)"
    )
    daemon = Daemon("deaf", [sys.executable, "-c", code], tmp_path, "trireme-unit")
    daemon.start()
    daemon.wait(lambda: "deaf" in daemon.tail(), seconds=10)
    began = time.monotonic()
    daemon.stop(grace_seconds=0.3)
    assert daemon.pid() is None
    assert time.monotonic() - began >= 0.3


def test_a_pid_that_now_belongs_to_another_process_is_neither_alive_nor_killed(sleeper: Daemon) -> None:
    with subprocess.Popen(["sleep", "300"]) as stranger:
        (sleeper.directory / "sleeper.pid").write_text(f"{stranger.pid} another-boot 12345\n")
        assert sleeper.pid() is None
        sleeper.stop(grace_seconds=0)
        assert stranger.poll() is None
        stranger.kill()


def test_a_broken_pid_file_means_not_running(sleeper: Daemon) -> None:
    (sleeper.directory / "sleeper.pid").write_text("")
    assert sleeper.pid() is None
    assert sleeper.start()


def test_children_carry_the_mark_of_the_cluster(tmp_path: Path) -> None:
    owner = f"trireme-unit-{os.getpid()}"
    daemon = Daemon("parent", ["sh", "-c", "sleep 300 & echo started; wait"], tmp_path, owner)
    daemon.start()
    daemon.wait(lambda: "started" in daemon.tail(), seconds=10)
    daemon.stop(grace_seconds=0)
    left = marked(owner)
    assert len(left) == 1
    end(left, grace_seconds=0)
    assert marked(owner) == {}


def test_a_daemon_that_ends_while_it_starts_shows_its_log(tmp_path: Path) -> None:
    daemon = Daemon("broken", ["sh", "-c", "echo no such flag; exit 3"], tmp_path, "trireme-unit")
    daemon.start()
    with pytest.raises(ProcessError, match=r"(?s)broken ended while it was starting.*no such flag"):
        daemon.wait(lambda: False, seconds=10)


def test_a_daemon_that_does_not_become_ready_shows_its_log(sleeper: Daemon) -> None:
    sleeper.start()
    with pytest.raises(ProcessError, match="not ready after 0 s"):
        sleeper.wait(lambda: False, seconds=0)


def test_end_of_a_process_that_is_gone_already_is_no_error() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    end([gone.pid], grace_seconds=0)


def test_a_daemon_outlives_the_program_that_started_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from e2e.cluster.processes import Daemon;"
        "Daemon('sleeper', ['sleep', '300'], Path(sys.argv[1]), 'trireme-unit').start()"
    )
    repository = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=repository)
    daemon = Daemon("sleeper", [], tmp_path, "trireme-unit")
    pid = daemon.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    daemon.stop()
    assert daemon.pid() is None


def test_ancestors_are_this_process_its_parent_and_the_first() -> None:
    assert {os.getpid(), os.getppid(), 1} <= ancestors()
