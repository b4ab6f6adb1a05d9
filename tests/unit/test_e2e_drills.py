"""What a drill's record tells, and when a drill has failed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from e2e.drills import report, timeline
from e2e.drills.events import DRILLS
from e2e.drills.judge import Budget, Measured, Result, judge, last_failed, longest_silence
from e2e.drills.record import Seen
from e2e.drills.traffic import Request, fault_of

GOOD = Measured(
    requests=100,
    failed=3,
    out_of_rotation_seconds=0.6,
    recovered_seconds=7.0,
    last_failed_seconds=0.7,
    longest_silence_seconds=0.3,
    weight_moved_seconds=1.0,
    whole_again=True,
    first_cause="pod m-zone-a-0-1: container engine ended with exit code 1: EngineKilled: SIGKILL",
    cause_in_status=True,
    other_zone="",
    faults=(),
)
WORDS = ("SIGKILL", "m-zone-a-0-1")


def pod(
    name: str, uid: str, *, zone: str = "zone-a", ready: bool = True, ending: bool = False, **status: Any
) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "uid": uid, "labels": {"trireme.dev/zone": zone}}
    if ending:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": meta, "status": {"conditions": conditions, **status}}


def ended(code: int, finished: str, message: str = "") -> list[dict[str, Any]]:
    state = {"terminated": {"exitCode": code, "finishedAt": finished, "message": message, "reason": "Error"}}
    return [{"name": "engine", "state": {"running": {}}, "lastState": state}]


def route(*, a: int, b: int) -> dict[str, Any]:
    refs = [{"name": "m-zone-a-http", "weight": a}, {"name": "m-zone-b-http", "weight": b}]
    return {"metadata": {"name": "m"}, "spec": {"rules": [{"backendRefs": refs}]}}


def test_a_leader_leaves_rotation_when_it_is_not_ready() -> None:
    """What happened before the event, or to another pod of the same name, does not count."""
    seen = [
        Seen(1, "MODIFIED", pod("m-0", "old", ready=False)),
        Seen(3, "MODIFIED", pod("m-0", "stranger", ready=False)),
        Seen(4, "MODIFIED", pod("m-0", "old")),
        Seen(5, "MODIFIED", pod("m-0", "old", ready=False)),
    ]
    assert timeline.out_of_rotation(seen, "old", since=2) == 5
    assert timeline.out_of_rotation(seen[:3], "old", since=2) is None


@pytest.mark.parametrize(
    "last", [Seen(5, "MODIFIED", pod("m-0", "old", ending=True)), Seen(5, "DELETED", pod("m-0", "old"))]
)
def test_a_leader_that_ends_is_out_of_rotation_too(last: Seen) -> None:
    assert timeline.out_of_rotation([last], "old", since=2) == 5


def test_a_group_is_recovered_when_all_its_pods_are_new_and_ready() -> None:
    seen = [
        Seen(0, "ADDED", pod("m-0", "l1")),
        Seen(0, "ADDED", pod("m-0-1", "w1")),
        Seen(3, "DELETED", pod("m-0", "l1")),
        Seen(4, "ADDED", pod("m-0", "l2")),
        Seen(5, "DELETED", pod("m-0-1", "w1")),
        Seen(6, "ADDED", pod("m-0-1", "w2", ready=False)),
        Seen(7, "MODIFIED", pod("m-0-1", "w2")),
    ]
    old = frozenset({"l1", "w1"})
    assert timeline.recovered(seen, "zone-a", old, since=2) == 7
    assert timeline.recovered(seen[:-1], "zone-a", old, since=2) is None


def test_a_group_that_only_flapped_did_not_recover() -> None:
    """A broken group is made again: the same pods, ready once more, would be half a group."""
    seen = [Seen(3, "MODIFIED", pod("m-0", "l1", ready=False)), Seen(4, "MODIFIED", pod("m-0", "l1"))]
    assert timeline.recovered(seen, "zone-a", frozenset({"l1"}), since=2) is None


def test_the_other_zone_is_disturbed_by_an_unready_or_a_replaced_pod() -> None:
    well = [Seen(0, "ADDED", pod("m-b", "b1", zone="zone-b")), Seen(3, "MODIFIED", pod("m-b", "b1", zone="zone-b"))]
    uids = frozenset({"b1"})
    assert timeline.disturbed(well, "zone-b", uids, since=2) == ""
    unready = [*well, Seen(4, "MODIFIED", pod("m-b", "b1", zone="zone-b", ready=False))]
    assert "m-b was not ready or gone 2.0 s" in timeline.disturbed(unready, "zone-b", uids, since=2)
    replaced = [*well, Seen(4, "DELETED", well[0].obj), Seen(5, "ADDED", pod("m-b", "b2", zone="zone-b"))]
    assert timeline.disturbed(replaced, "zone-b", uids, since=2) != ""


def test_the_first_cause_is_the_container_that_ended_first() -> None:
    """The leader ends because its worker did, and its status may be seen first."""
    told = json.dumps({"reason": "EngineKilled", "message": "the engine was ended by SIGKILL"})
    seen = [
        Seen(3, "MODIFIED", pod("m-0", "l1", containerStatuses=ended(1, "2026-01-01T00:00:05Z"))),
        Seen(4, "MODIFIED", pod("m-0-1", "w1", containerStatuses=ended(1, "2026-01-01T00:00:04Z", told))),
        Seen(4, "MODIFIED", pod("m-b", "b1", containerStatuses=ended(9, "2026-01-01T00:00:01Z"))),
    ]
    cause = timeline.termination(seen, frozenset({"l1", "w1"}), since=2)
    assert cause == "pod m-0-1: exit code 1: EngineKilled: the engine was ended by SIGKILL"
    assert timeline.termination(seen[:1], frozenset({"l1"}), since=2) == "pod m-0: exit code 1 (Error)"
    assert timeline.termination(seen, frozenset({"l1"}), since=4) == ""


def test_the_status_is_asked_for_its_first_word_after_the_event() -> None:
    def resource(message: str) -> dict[str, Any]:
        return {"metadata": {"name": "m"}, "status": {"conditions": [{"type": "Ready", "message": message}]}}

    seen = [
        Seen(1, "ADDED", resource("pod x ended with exit code 3")),
        Seen(3, "MODIFIED", resource("1 of 2 groups are ready")),
        Seen(4, "MODIFIED", resource("pod m-0-1: container engine ended with exit code 1")),
    ]
    assert timeline.said_by_status(seen, since=2) == "pod m-0-1: container engine ended with exit code 1"
    assert timeline.said_by_status(seen[:2], since=2) == ""


def test_the_weight_moved_when_the_zone_gets_no_traffic() -> None:
    seen = [Seen(3, "MODIFIED", route(a=50, b=50)), Seen(4, "MODIFIED", route(a=0, b=50))]
    assert timeline.weight_moved(seen, "zone-a", since=2) == 4
    assert timeline.weight_moved(seen, "zone-b", since=2) is None


def test_a_drill_within_its_budget_passes() -> None:
    assert judge(GOOD, Budget(), cause_words=WORDS, weight_must_move=True) == ()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"out_of_rotation_seconds": 5.1}, "out of rotation after 5.1 s, at most 5 s"),
        ({"out_of_rotation_seconds": None}, "out of rotation: never seen"),
        ({"recovered_seconds": 30.5}, "whole group ready again after 30.5 s"),
        ({"recovered_seconds": None}, "whole group ready again: never seen"),
        ({"last_failed_seconds": 9.0}, "began 9.0 s after the event failed"),
        ({"longest_silence_seconds": 4.0}, "not for 4.0 s answered"),
        ({"longest_silence_seconds": None}, "never answered"),
        ({"requests": 0}, "no request"),
        ({"whole_again": False}, "did not become Ready"),
        ({"other_zone": "zone-b: a pod was not ready"}, "zone-b"),
        ({"weight_moved_seconds": None}, "weight"),
        ({"first_cause": ""}, "does not name SIGKILL and m-zone-a-0-1"),
    ],
)
def test_a_drill_that_misses_a_limit_says_which(change: dict[str, Any], word: str) -> None:
    (why,) = judge(dataclasses.replace(GOOD, **change), Budget(), cause_words=WORDS, weight_must_move=True)
    assert word in why


def test_limits_that_are_not_set_are_not_missed() -> None:
    slow = dataclasses.replace(GOOD, recovered_seconds=300.0, weight_moved_seconds=None)
    assert judge(slow, Budget(recovered_seconds=None), cause_words=(), weight_must_move=False) == ()
    never = dataclasses.replace(slow, recovered_seconds=None)
    assert judge(never, Budget(recovered_seconds=None), cause_words=(), weight_must_move=False) != ()


def test_the_last_failed_request_is_told_by_when_it_began() -> None:
    requests = [Request(2, 3, ""), Request(3, 9, "late"), Request(4, 5, "")]
    assert last_failed(requests, since=2) == 1
    assert last_failed(requests[:1], since=2) is None


def test_silence_is_measured_between_good_answers_after_the_event() -> None:
    requests = [Request(0, 1, ""), Request(2, 5, "late"), Request(3, 4, ""), Request(4, 9, ""), Request(4, 10, "")]
    assert longest_silence(requests, since=2) == 5
    assert longest_silence(requests[:2], since=2) is None


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (200, b'{"choices": [{"text": "two"}]}', ""),
        (200, b'{"choices": [{"text": ""}]}', "no text"),
        (200, b'{"error": {}}', "not a completion"),
        (200, b"<html>", "not a completion"),
        (503, b"no healthy upstream", "status 503: no healthy upstream"),
    ],
)
def test_an_answer_counts_only_when_it_is_a_whole_completion(status: int, body: bytes, word: str) -> None:
    fault = fault_of(status, body)
    assert bool(fault) == bool(word)
    assert word in fault


def test_results_replace_those_of_the_same_drill_and_engine_only(tmp_path: Path) -> None:
    file = tmp_path / "results" / "drills.json"
    first = Result("pod", "double", "2026-01-01T00:00:00+00:00", GOOD, Budget(), ())
    report.write(file, [first, dataclasses.replace(first, engine="vllm")])
    report.write(file, [dataclasses.replace(first, why=("too late", "no cause"))])
    rows = json.loads(file.read_text())
    assert [(row["engine"], row["passed"], row["why"]) for row in rows] == [
        ("double", False, "too late; no cause"),
        ("vllm", True, ""),
    ]
    promised = {"drill", "engine", "requests", "failed", "out_of_rotation_seconds", "recovered_seconds"}
    assert promised | {"first_cause", "budget", "passed", "why"} <= set(rows[0])


def test_every_drill_has_a_name_of_its_own() -> None:
    assert len({drill.name for drill in DRILLS}) == len(DRILLS)
