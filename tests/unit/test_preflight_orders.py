"""What the leader of a preflight makes of what all launchers say: pure, case by case."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from trireme_runtime.preflight import orders, report
from trireme_runtime.preflight.bandwidth import rounds
from trireme_runtime.preflight.metrics import lines
from trireme_runtime.preflight.report import Check, Exchange, Order, Place, Program, Report

READY = Exchange("uid", 4000, connected=True, reached=True, program=Program.READY)
CLOSED = replace(READY, reached=False)
GOOD = Check("dns", passed=True, pod="g-0")


def link(pod: str, peer: str, value: float | None, *, passed: bool = True, reason: str = "") -> Check:
    return Check(
        "pairwise", passed, pod, peer=peer, value=value, unit="GB/s", threshold=20, reason=reason, latency=2e-5
    )


@pytest.mark.parametrize(
    ("current", "said", "want"),
    [
        pytest.param(Order.WAIT, [READY, replace(READY, connected=False)], Order.WAIT, id="one still connects"),
        pytest.param(Order.WAIT, [READY, Exchange()], Order.WAIT, id="one has said nothing"),
        pytest.param(Order.WAIT, [READY, replace(READY, program=Program.STARTING)], Order.WAIT, id="one imports torch"),
        pytest.param(Order.WAIT, [READY, READY], Order.MEASURE, id="all are ready"),
        pytest.param(Order.WAIT, [READY, CLOSED], Order.SKIP, id="a port is closed"),
        pytest.param(Order.WAIT, [replace(READY, program=Program.UNAVAILABLE), READY], Order.SKIP, id="no torch"),
        pytest.param(Order.WAIT, [replace(READY, program=Program.NONE)], Order.SKIP, id="nothing to measure"),
        pytest.param(Order.MEASURE, [replace(READY, program=Program.RUNNING)], Order.MEASURE, id="it measures"),
        pytest.param(Order.MEASURE, [READY, replace(READY, program=Program.FAILED)], Order.STOP, id="one broke"),
        pytest.param(Order.STOP, [READY, READY], Order.STOP, id="stopped stays stopped"),
        pytest.param(Order.SKIP, [READY, READY], Order.SKIP, id="skipped stays skipped"),
    ],
)
def test_the_next_order(current: Order, said: list[Exchange], want: Order) -> None:
    assert orders.next_order(current, said) is want


def test_places_are_told_when_all_listen() -> None:
    first, second = Place("g-0", "10.0.0.1", 4000), Place("g-0-1", "10.0.0.2", 0)
    assert orders.places({1: second, 0: first}) == ()
    deaf = replace(second, port=-1)
    assert orders.places({1: deaf, 0: first}) == (first, deaf)


@pytest.mark.parametrize("required", [False, True])
def test_a_bandwidth_that_nobody_knows_is_not_good_enough_for_a_limit(required: bool) -> None:
    without = replace(READY, program=Program.UNAVAILABLE, why="no torch")
    check = orders.unmeasured({"g-0": READY, "g-0-1": without}, required=required)
    assert check is not None
    assert (check.name, check.passed, check.pod, check.reason) == (
        "allReduce",
        not required,
        "g-0-1",
        "not measured: no torch",
    )


def test_closed_ports_are_why_nothing_is_measured() -> None:
    check = orders.unmeasured({"g-0": READY, "g-0-1": CLOSED}, required=False)
    assert check is not None
    assert check.reason == "not measured: not all ports are open"
    assert orders.unmeasured({"g-0": READY}, required=True) is None
    assert orders.unmeasured({"g-0": replace(CLOSED, program=Program.NONE)}, required=True) is None


def said(exchange: Exchange, *checks: Check) -> Report:
    return Report("Warn", None, 3.0, checks, exchange)


def test_only_those_that_the_others_waited_for_are_blamed_when_time_is_up() -> None:
    starting = said(replace(READY, program=Program.STARTING))
    found = orders.missing({"g-0": said(READY), "g-0-1": starting, "g-0-2": said(READY)}, seconds=60)
    assert [(check.name, check.pod, check.reason) for check in found] == [
        ("allReduce", "g-0-1", "its processes did not finish measuring within 60 s")
    ]
    silent = orders.missing({"g-0": said(READY), "g-0-1": None}, seconds=60)
    assert [(check.name, check.pod) for check in silent] == [("ports", "g-0-1")]


def test_a_pod_that_named_its_failure_is_not_blamed_twice() -> None:
    failed = said(replace(READY, program=Program.FAILED), link("g-0", "g-0-1", None, passed=False, reason="hangs"))
    done = said(replace(READY, done=True))
    assert orders.missing({"g-0": failed, "g-0-1": done}, seconds=60) == []


def test_a_link_is_listed_once_and_what_failed_comes_first() -> None:
    hung = link("g-0-1", "g-0", None, passed=False, reason="no answer")
    also = link("g-0", "g-0-1", None, passed=False, reason="no answer")
    slow, fast = link("g-0", "g-0-2", 3.0), link("g-0-1", "g-0-2", 30.0)
    assert orders.together([GOOD, fast, hung, slow, also]) == (also, GOOD, slow, fast)


def test_a_leader_of_many_pods_lists_the_worst() -> None:
    links = [link(f"p{low}", f"p{high}", float(low + high)) for low, high in combinations(range(60), 2)]
    shown = orders.together([*links, link("p0", "p99", 0.1, passed=False)])
    assert len(shown) == orders.MAX_CHECKS
    assert (shown[0].peer, shown[1].value) == ("p99", 1.0)


def test_the_message_names_node_and_link() -> None:
    slow = replace(link("g-0", "g-0-1", 3.0, passed=False, reason="3 GB/s, and at least 20 are asked for"), node="n7")
    assert orders.message([GOOD, slow]) == (
        "the preflight found: pairwise of g-0 on node n7 to g-0-1: 3 GB/s, and at least 20 are asked for"
    )
    assert orders.message([slow] * 5).endswith("; and 2 more")


def test_a_report_comes_back_from_its_own_words() -> None:
    whole = replace(READY, done=True, pods=(Place("g-0", "10.0.0.1", 4000),), order=Order.MEASURE, why="x")
    sent = Report("Enforce", passed=False, seconds=7.2, checks=(link("g-0", "g-0-1", 11.2), GOOD), exchange=whole)
    assert report.parse(json.loads(json.dumps(sent.as_json()))) == sent


def test_words_of_another_release_are_read_as_far_as_they_go() -> None:
    document: dict[str, Any] = {
        "mode": "Warn",
        "passed": None,
        "seconds": 1,
        "checks": [],
        "exchange": {"epoch": "u", "pods": []},
    }
    read = report.parse(document | {"later": 1})
    assert read is not None
    assert read.exchange == Exchange("u")
    unknown = document | {"exchange": {"epoch": "u", "pods": [], "order": "?"}}
    unreadable: list[object] = [None, [], {}, {"mode": "Warn"}, unknown]
    assert [report.parse(each) for each in unreadable] == [None] * len(unreadable)


@pytest.mark.parametrize("pods", [1, 2, 3, 8, 9, 16, 33])
def test_every_pair_of_pods_has_one_round_and_no_pod_two_at_a_time(pods: int) -> None:
    found = rounds(pods)
    assert sorted(pair for pairs in found for pair in pairs) == list(combinations(range(pods), 2))
    assert all(len({pod for pair in pairs for pod in pair}) == 2 * len(pairs) for pairs in found)
    assert pods > 8 or all(len(pairs) == 1 for pairs in found)


def test_metrics_come_with_the_result() -> None:
    checks = (link("g-0", "g-0-1", 11.2, passed=False), Check("ports", passed=False, pod="g-0", peer="g-0-2"), GOOD)
    running = Report("Warn", None, 1.0, checks, READY)
    assert lines(None) == lines(running) == []
    text = "\n".join(lines(replace(running, passed=False, seconds=7.25)))
    assert "trireme_launcher_preflight_passed 0" in text
    assert "trireme_launcher_preflight_seconds 7.2" in text
    assert 'check_passed{check="pairwise",pod="g-0",peer="g-0-1"} 0' in text
    assert 'bandwidth_bytes_per_second{check="pairwise",pod="g-0",peer="g-0-1"} 11200000000' in text
    assert 'latency_seconds{check="pairwise",pod="g-0",peer="g-0-1"} 0.0000200' in text
    assert 'check_passed{check="dns",pod="g-0",peer=""} 1' in text
