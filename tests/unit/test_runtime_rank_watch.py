"""A rank's process that ends while its engine goes on is a death; one that ends with its engine is none."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.unit.pods import until
from trireme_runtime.rank_watch import GONE_SECONDS, INTERVAL_SECONDS, Process, RankWatch, below

RANK = Process("VLLM::Worker_TP0", "100")
OTHER = Process("VLLM::EngineCore", "90")


def zombie(started: str, status: int) -> Process:
    return Process("", started, ended=True, status=status)


def seen_over_time(*looks: dict[int, Process]) -> RankWatch:
    """A watch that looked once an interval, from the second 10 on."""
    remaining = iter(looks)
    watch = RankWatch(lambda: next(remaining))
    for number in range(len(looks)):
        watch.cause(10 + number * INTERVAL_SECONDS)
    return watch


@pytest.mark.parametrize(
    ("last", "reason", "signal", "exit_code", "words"),
    [
        pytest.param({}, "RankExited", None, None, "VLLM::Worker_TP0 ended while the engine went on", id="gone"),
        pytest.param({7: zombie("100", 9)}, "RankKilled", "SIGKILL", None, "was ended by SIGKILL", id="killed, zombie"),
        pytest.param({7: zombie("100", 1 << 8)}, "RankExited", None, 1, "ended with exit code 1", id="failed, zombie"),
        pytest.param({7: zombie("100", 9 | 0x80)}, "RankKilled", "SIGKILL", None, "SIGKILL", id="dumped its memory"),
        pytest.param({7: zombie("100", 70)}, "RankKilled", "signal 70", None, "signal 70", id="odd signal"),
        pytest.param(
            {7: Process("VLLM::Worker_TP0", "555")}, "RankExited", None, None, "ended while", id="another of its number"
        ),
    ],
)
def test_a_rank_that_is_gone_for_a_second_is_named(
    last: dict[int, Process], reason: str, signal: str | None, exit_code: int | None, words: str
) -> None:
    looks = [{7: RANK, 8: OTHER}, {8: OTHER, **last}]
    watch = seen_over_time(*looks)
    assert RankWatch(dict).cause(0) is None
    assert watch.cause(10 + INTERVAL_SECONDS + GONE_SECONDS / 2) is None, "the engine may be about to end itself"
    watch._look = lambda: {8: OTHER}
    cause = watch.cause(10 + INTERVAL_SECONDS + GONE_SECONDS, ("the last line",))
    assert cause is not None
    assert (cause.reason, cause.signal, cause.exit_code, cause.log) == (reason, signal, exit_code, ("the last line",))
    assert words in cause.message


def test_how_it_ended_may_be_seen_late() -> None:
    watch = seen_over_time({7: RANK}, {}, {})
    cause = watch.cause(10 + 2 * INTERVAL_SECONDS)
    assert cause is not None
    assert cause.reason == "RankExited"


def test_ranks_that_live_and_zombies_that_were_never_ranks_say_nothing() -> None:
    stranger = zombie("70", 9)
    watch = seen_over_time({7: RANK}, {7: RANK, 9: stranger}, {7: RANK, 9: stranger}, {7: RANK}, {7: RANK, 8: OTHER})
    assert watch.cause(10 + 4.5 * INTERVAL_SECONDS) is None


@pytest.mark.parametrize(
    "later",
    [
        pytest.param({}, id="it ends"),
        pytest.param({9: Process("/usr/bin/gcc", "101", parent=7)}, id="it runs another program"),
        pytest.param({9: zombie("101", 0)}, id="nobody asks how it ended"),
    ],
)
@pytest.mark.parametrize("name", ["VLLM::Worker_TP0", "VLLM::Worker"])
def test_what_a_rank_starts_has_its_name_and_is_none(name: str, later: dict[int, Process]) -> None:
    """Also when the rank got another name meanwhile, as vLLM's do when they know their place."""
    helper = Process(name, "101", parent=7)
    watch = seen_over_time({7: RANK, 9: helper}, {7: RANK, **later}, {7: RANK}, {7: RANK})
    assert watch.cause(10 + 3.5 * INTERVAL_SECONDS) is None


def test_a_process_that_takes_another_name_was_never_a_rank() -> None:
    about = Process("VLLM::EngineCore", "101", parent=8)
    watch = seen_over_time({9: about}, {9: Process("/sbin/ldconfig", "101", parent=8)}, {}, {})
    assert watch.cause(10 + 3.5 * INTERVAL_SECONDS) is None


@pytest.fixture
def engine() -> Iterator[subprocess.Popen[bytes]]:
    """A child with a grandchild that is called as vLLM calls a rank; it never asks how the grandchild ended."""
    rank = ["/bin/bash", "-c", "exec -a VLLM::Worker_TP0 sleep 1000"]
    program = f"import subprocess, time; subprocess.Popen({rank!r}); time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        yield process
        process.kill()
    subprocess.run(["pkill", "-KILL", "-f", "^VLLM::Worker_TP0 1000$"], check=False)


def test_a_real_process_is_found_and_its_signal_is_read(engine: subprocess.Popen[bytes]) -> None:
    def ranks() -> list[int]:
        return [pid for pid, process in below().items() if process.title == "VLLM::Worker_TP0"]

    until(lambda: len(ranks()) == 1, "the rank runs")
    watch = RankWatch()
    assert watch.cause(time.monotonic()) is None
    subprocess.run(["kill", "-KILL", str(ranks()[0])], check=True)
    until(lambda: not ranks(), "it is a zombie")
    now = time.monotonic() + INTERVAL_SECONDS
    assert watch.cause(now) is None
    cause = watch.cause(now + GONE_SECONDS)
    assert cause is not None
    assert (cause.reason, cause.signal) == ("RankKilled", "SIGKILL")
