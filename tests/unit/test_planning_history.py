"""What a zone remembers of its failures, and when a group may start again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trireme_operator.planning.history import (
    MAX_BYTES,
    MAX_TIMES,
    Chain,
    Failure,
    History,
    encode,
    is_consequence,
    parse,
    remember,
)
from trireme_operator.planning.restarts import RestartPolicy, permit

NOW = 1_800_000_000


def failure(epoch: str = "one", *, group: int = 0, time: int = NOW, **fields: Any) -> Failure:
    given: dict[str, Any] = {
        "pod": f"llm-{group}-1",
        "worker": 1,
        "reason": "EngineExited",
        "exit_code": 1,
        "revision": "r1",
    } | fields
    return Failure(group=group, epoch=epoch, time=time, **given)


def remembered(*failures: Failure) -> History:
    history = History()
    for each in failures:
        history = remember(history, each)
    return history


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"reason": "OOMKilled", "exit_code": 137}, "worker 1: OOMKilled (exit 137)"),
        ({"worker": 0, "exit_code": 0}, "leader: EngineExited (exit 0)"),
        ({"reason": "EngineKilled", "exit_code": None, "signal": "SIGKILL"}, "worker 1: EngineKilled (SIGKILL)"),
        ({"rank": 11}, "worker 1, rank 11: EngineExited (exit 1)"),
        ({"container": "proxy"}, "worker 1, container proxy: EngineExited (exit 1)"),
        ({"reason": "Evicted", "exit_code": None}, "worker 1: Evicted"),
    ],
)
def test_a_cause_is_one_line(fields: dict[str, Any], cause: str) -> None:
    assert failure(**fields).cause == cause


def test_of_one_end_the_first_cause_stays_whichever_is_seen_first() -> None:
    later = failure(worker=0, reason="EngineExited", time=NOW + 1)
    lost = failure(worker=2, reason="MemberLost", time=NOW - 5)
    killed = failure(worker=1, reason="OOMKilled", exit_code=137, time=NOW + 2)
    for order in ([later, lost, killed], [killed, lost, later], [lost, later, killed]):
        history = remembered(*order)
        assert [each.cause for each in history.failures] == ["worker 1: OOMKilled (exit 137)"]
        assert history.times(0, "r1") == (NOW + 2,)


def test_what_a_pod_says_of_itself_counts_more_than_what_another_one_reported() -> None:
    reported = failure(report=True, reason="EngineKilled", signal="SIGKILL")
    own = failure(reason="EngineExited", time=NOW + 3)
    assert remembered(reported, own).failures == (own,)
    assert remembered(own, reported).failures == (own,)


def test_saying_the_same_again_changes_nothing() -> None:
    history = remembered(failure("one"), failure("two", time=NOW + 60))
    for known in (failure("one"), failure("two", time=NOW + 60), failure("forgotten", time=NOW - 60)):
        assert remember(history, known) is history
    assert history.times(0, "r1") == (NOW, NOW + 60)


def test_a_new_template_begins_with_a_clean_record() -> None:
    history = remembered(failure("one"), failure("two", time=NOW + 60))
    assert history.times(0, "r1") == history.times(0, "") == (NOW, NOW + 60)
    assert history.times(0, "r2") == ()
    history = remember(history, failure("three", time=NOW + 90, revision="r2"))
    assert (history.times(0, "r2"), history.times(0, "r1")) == ((NOW + 90,), ())
    assert len(history.failures) == 3


@pytest.mark.parametrize("reason", ["MemberLost", "LeaderDead", "RestartedInPlace"])
def test_reasons_that_name_another_pods_end_are_consequences(reason: str) -> None:
    assert is_consequence(reason)
    assert not is_consequence("EngineExited")


def test_it_survives_the_annotation() -> None:
    history = remembered(
        failure("one", group=3, exit_code=0, message="it said so", log=("a", "b")),
        failure("two", time=NOW + 5, reason="OOMKilled", exit_code=137, rank=0),
        failure("three", group=3, time=NOW + 9, exit_code=None, signal="SIGKILL", container="x", report=True),
    )
    assert parse(encode(history)) == history


def test_sections_of_others_are_kept() -> None:
    text = json.dumps({"version": 1, "failures": [], "groups": {}, "weights": {"at": 1}})
    assert json.loads(encode(remember(parse(text), failure())))["weights"] == {"at": 1}


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "{}", "[]", "null", "7", '{"version": 1}'),
        '{"version": 2, "failures": [], "groups": {}}',
        '{"version": 1, "failures": [{}], "groups": {}}',
        '{"version": 1, "failures": [], "groups": {"a": {}}}',
    ],
)
def test_what_was_spoilt_is_as_good_as_nothing(text: str | None) -> None:
    assert parse(text) == History()


failures = st.builds(
    Failure,
    group=st.integers(0, 200),
    epoch=st.uuids().map(str),
    pod=st.text("llm-0123456789", min_size=1, max_size=63),
    worker=st.integers(0, 64),
    reason=st.text(max_size=80),
    time=st.integers(NOW, NOW + 10_000),
    revision=st.sampled_from(["r1", "r2"]),
    message=st.text(max_size=600),
    log=st.lists(st.text(max_size=300), max_size=8).map(tuple),
)


@given(st.lists(failures, max_size=60))
def test_it_stays_within_its_bounds_whatever_happens(found: list[Failure]) -> None:
    history = History()
    for each in found:
        history = parse(encode(remember(history, each)))
    assert len(encode(history).encode()) <= MAX_BYTES
    assert all(len(chain.times) <= MAX_TIMES for chain in history.groups.values())
    if found:
        assert history.groups, "the room is for what bounds restarts before anything else"


def test_forty_groups_that_fail_together_are_all_counted() -> None:
    history = remembered(*(failure(f"e{group}", group=group, message="m" * 200) for group in range(40)))
    assert len(parse(encode(history)).groups) == 40


# ---- when a group may start again --------------------------------------------------------------------------------

POLICY = RestartPolicy(limit=3, window=600, backoff=10)


def test_a_group_that_never_failed_starts() -> None:
    assert permit([], POLICY, now=NOW, group="g").start


def test_the_delay_doubles_with_each_failure_in_the_window() -> None:
    policy = replace(POLICY, limit=0)
    for failures, delay in ((1, 10), (2, 20), (4, 80), (6, 300), (12, 300)):
        times = [NOW - index for index in reversed(range(failures))]
        told = permit(times, policy, now=NOW, group="g")
        assert (told.failures, told.held) == (failures, False)
        assert told.until is not None
        assert delay <= told.until - NOW <= delay * 1.2
        assert permit(times, policy, now=told.until, group="g").start


def test_the_delays_of_groups_are_spread_and_the_same_wherever_they_are_asked_for() -> None:
    policy = replace(POLICY, backoff=100)
    delays = {permit([NOW], policy, now=NOW, group=f"g{number}").until for number in range(50)}
    assert len(delays) > 10
    assert permit([NOW], policy, now=NOW, group="g1") == permit([NOW], policy, now=NOW, group="g1")


def test_after_the_limit_a_group_is_held_until_the_window_lets_it_go() -> None:
    times = [NOW - 500, NOW - 200, NOW - 100]
    told = permit(times, POLICY, now=NOW, group="g")
    assert (told.held, told.until, told.failures) == (True, NOW - 500 + 600, 3)
    assert permit(times, POLICY, now=NOW + 99, group="g").held
    assert permit(times, POLICY, now=NOW + 100, group="g").start


def test_failures_before_the_window_are_forgotten() -> None:
    times = [NOW - 605, NOW - 604, NOW - 603, NOW - 602]
    assert permit(times, POLICY, now=NOW, group="g").start
    assert permit(times, POLICY, now=NOW, group="g").failures == 0
    assert Chain("r1", tuple(times)).times[0] < NOW - POLICY.window
