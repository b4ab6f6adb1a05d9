"""What a drill's record tells, when a drill has failed, and what the drills are."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from e2e.drills import report, timeline
from e2e.drills.catalogue import drills
from e2e.drills.judge import Budget, Measured, Must, Result, judge, last_failed, longest_silence
from e2e.drills.load import load_drills
from e2e.drills.record import Seen
from e2e.drills.run import budget_of, run
from e2e.drills.size import FULL, MODEL, SHORT, Size
from e2e.drills.target import Engine, Layout, Site, manifest
from e2e.drills.timeline import Pods
from e2e.drills.traffic import Request
from trireme_operator import offline

GOOD = Measured(
    requests=100,
    failed=3,
    out_of_rotation_seconds=0.6,
    recovered_seconds=7.0,
    last_failed_seconds=0.7,
    longest_silence_seconds=0.3,
    weight_moved_seconds=1.0,
    whole_again=True,
    first_cause="m-zone-a-0-1: worker 1: EngineKilled (SIGKILL)",
    cause_in_status=True,
)
WORDS = Must(cause_words=("SIGKILL", "m-zone-a-0-1"))
GROUP = ("zone-a", 0)
AT = "2026-01-01T00:00:10Z"
CLOCK = datetime(2026, 1, 1, 0, 0, 10, 900_000, UTC).timestamp()


def pod(
    name: str, uid: str, *, zone: str = "zone-a", ready: bool = True, ending: bool = False, **status: Any
) -> dict[str, Any]:
    labels = {"trireme.dev/zone": zone, "leaderworkerset.sigs.k8s.io/group-index": "0"}
    meta: dict[str, Any] = {"name": name, "uid": uid, "labels": labels}
    if ending:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": meta, "status": {"conditions": conditions, **status}}


def ended(code: int, finished: str, message: str = "", restarts: int = 1) -> list[dict[str, Any]]:
    state = {"terminated": {"exitCode": code, "finishedAt": finished, "message": message, "reason": "Error"}}
    return [{"name": "engine", "state": {"running": {}}, "lastState": state, "restartCount": restarts}]


def route(*, a: int, b: int) -> dict[str, Any]:
    refs = [{"name": "m-zone-a-http", "weight": a}, {"name": "m-zone-b-http", "weight": b}]
    return {"metadata": {"name": "m"}, "spec": {"rules": [{"backendRefs": refs}]}}


def resource(zone: str = "zone-a", **failure: Any) -> dict[str, Any]:
    told = {"group": 0, "pod": "m-0-1", "cause": "worker 1: OOMKilled (exit 137)", "time": AT, **failure}
    return {"metadata": {"name": "m"}, "status": {"zones": [{"name": "zone-x"}, {"name": zone, "failures": [told]}]}}


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


RECREATED = [
    Seen(0, "ADDED", pod("m-0", "l1")),
    Seen(0, "ADDED", pod("m-0-1", "w1")),
    Seen(3, "DELETED", pod("m-0", "l1")),
    Seen(4, "ADDED", pod("m-0", "l2")),
    Seen(5, "DELETED", pod("m-0-1", "w1")),
    Seen(6, "ADDED", pod("m-0-1", "w2", ready=False)),
    Seen(7, "MODIFIED", pod("m-0-1", "w2")),
]
OLD = Pods({"l1": 0, "w1": 0})


def test_a_group_is_recreated_when_all_its_pods_are_new_and_ready() -> None:
    assert timeline.recreated(RECREATED, GROUP, OLD, since=2) == 7
    assert timeline.recreated(RECREATED[:-1], GROUP, OLD, since=2) is None
    assert timeline.recreated(RECREATED, ("zone-a", 1), OLD, since=2) is None


def test_all_pods_are_recreated_when_none_is_an_old_one() -> None:
    other = Pods({**OLD.restarts, "b1": 0})
    b1 = pod("m-b", "b1", zone="zone-b")
    seen = [Seen(0, "ADDED", b1), *RECREATED, Seen(8, "DELETED", b1), Seen(9, "ADDED", pod("m-b", "b2", zone="zone-b"))]
    assert timeline.all_recreated(seen, other, since=2) == 9
    assert timeline.all_recreated(seen[:-1], other, since=2) is None


def test_a_group_that_only_flapped_was_not_recreated() -> None:
    """A broken group is made again: the same pods, ready once more, would be half a group."""
    seen = [Seen(3, "MODIFIED", pod("m-0", "l1", ready=False)), Seen(4, "MODIFIED", pod("m-0", "l1"))]
    assert timeline.recreated(seen, GROUP, Pods({"l1": 0}), since=2) is None


def test_a_group_has_returned_when_it_was_out_and_the_same_pods_are_ready() -> None:
    start = [Seen(0, "ADDED", pod("m-0", "l1")), Seen(0, "ADDED", pod("m-0-1", "w1"))]
    out = [*start, Seen(3, "MODIFIED", pod("m-0", "l1", ready=False))]
    back = [*out, Seen(6, "MODIFIED", pod("m-0", "l1"))]
    assert timeline.returned(back, OLD, since=2) == 6
    assert timeline.returned(out, OLD, since=2) is None
    quiet = [*start, Seen(4, "MODIFIED", pod("m-0", "l1"))]
    assert timeline.returned(quiet, OLD, since=2) is None, "it was never out"


@pytest.mark.parametrize(
    "event",
    [
        Seen(4, "MODIFIED", pod("m-0-1", "w1", containerStatuses=ended(1, AT))),
        Seen(4, "DELETED", pod("m-0-1", "w1")),
    ],
)
def test_a_group_that_lost_a_container_or_a_pod_has_not_returned(event: Seen) -> None:
    start = [Seen(0, "ADDED", pod("m-0", "l1")), Seen(0, "ADDED", pod("m-0-1", "w1"))]
    out, back = Seen(3, "MODIFIED", pod("m-0", "l1", ready=False)), Seen(6, "MODIFIED", pod("m-0", "l1"))
    assert timeline.returned([*start, out, event, back], OLD, since=2) is None


def test_a_group_is_removed_with_its_last_pod() -> None:
    assert timeline.removed(RECREATED, OLD, since=2) == 5
    assert timeline.removed(RECREATED[:4], OLD, since=2) is None


def test_both_sides_have_ended_when_a_container_of_each_has() -> None:
    seen = [
        Seen(1, "MODIFIED", pod("m-0-1", "w1", containerStatuses=ended(1, AT))),
        Seen(3, "MODIFIED", pod("m-0", "l1", containerStatuses=ended(1, AT))),
        Seen(4, "MODIFIED", pod("m-0", "l1", containerStatuses=ended(1, AT))),
        Seen(5, "DELETED", pod("m-0-1", "w1")),
    ]
    assert timeline.ended(seen, OLD, since=2) == 5
    assert timeline.ended(seen[:-1], OLD, since=2) is None
    known = Pods({"l1": 1, "w1": 0})
    assert timeline.ended(seen, known, since=2) is None, "a restart of before the drill is none of it"


def test_others_are_disturbed_by_an_unready_or_a_replaced_pod() -> None:
    well = [Seen(0, "ADDED", pod("m-b", "b1", zone="zone-b")), Seen(3, "MODIFIED", pod("m-b", "b1", zone="zone-b"))]
    others = Pods({"b1": 0})
    assert timeline.disturbed(well, others, since=2) == ""
    unready = [*well, Seen(4, "MODIFIED", pod("m-b", "b1", zone="zone-b", ready=False))]
    assert "m-b was not ready or gone 2.0 s" in timeline.disturbed(unready, others, since=2)
    replaced = [*well, Seen(4, "DELETED", well[0].obj), Seen(5, "ADDED", pod("m-b", "b2", zone="zone-b"))]
    assert timeline.disturbed(replaced, others, since=2) != ""
    assert timeline.disturbed(unready, Pods(), since=2) == "", "nobody was to be left alone"


def test_a_pods_own_word_is_the_container_that_ended_first() -> None:
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


def test_the_status_tells_the_first_cause_of_this_group_since_the_event() -> None:
    def said(*found: dict[str, Any]) -> str:
        return timeline.said_by_status([Seen(1, "MODIFIED", each) for each in found], GROUP, CLOCK)

    assert said(resource()) == "m-0-1: worker 1: OOMKilled (exit 137)", "the second of the event counts"
    assert said(resource(message="no more")) == "m-0-1: worker 1: OOMKilled (exit 137): no more"
    assert said(resource(time="2026-01-01T00:00:09Z")) == "", "a failure of before"
    assert said(resource(group=1)) == ""
    assert said(resource("zone-b")) == ""
    assert said(resource(), resource(cause="better")) == "m-0-1: better"


def test_a_reason_is_looked_for_in_all_conditions_after_the_event() -> None:
    lost = {"status": {"conditions": [{"type": "Ready"}, {"type": "Progressing", "reason": "NodeLost"}]}}
    seen = [Seen(1, "MODIFIED", lost), Seen(3, "MODIFIED", resource()), Seen(4, "MODIFIED", lost)]
    assert timeline.said_reason(seen, "NodeLost", since=2) == 4
    assert timeline.said_reason(seen[:2], "NodeLost", since=2) is None


def test_the_weight_moved_when_the_zone_gets_no_traffic() -> None:
    seen = [Seen(3, "MODIFIED", route(a=50, b=50)), Seen(4, "MODIFIED", route(a=0, b=50))]
    assert timeline.weight_moved(seen, "zone-a", since=2) == 4
    assert timeline.weight_moved(seen, "zone-b", since=2) is None


def test_a_drill_within_its_budget_passes() -> None:
    assert judge(GOOD, Budget(), WORDS) == ()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"out_of_rotation_seconds": 5.1}, "out of rotation after 5.1 s, at most 5 s"),
        ({"out_of_rotation_seconds": None}, "out of rotation: never seen"),
        ({"recovered_seconds": 30.5}, "whole again after 30.5 s"),
        ({"recovered_seconds": None}, "whole again: never seen"),
        ({"last_failed_seconds": 9.0, "last_fault": "status 503"}, "began 9.0 s after the event failed, none may"),
        ({"last_failed_seconds": 9.0, "last_fault": "status 503"}, "after 8 s: status 503"),
        ({"longest_silence_seconds": 4.0}, "not for 4.0 s answered"),
        ({"longest_silence_seconds": None}, "never answered"),
        ({"requests": 0}, "0 requests were sent, at least 1"),
        ({"whole_again": False}, "did not become Ready"),
        ({"others": "another group was disturbed"}, "another group"),
        ({"weight_moved_seconds": None}, "weight"),
        ({"first_cause": ""}, "does not name SIGKILL and m-zone-a-0-1"),
        ({"cause_in_status": False}, "status does not tell"),
    ],
)
def test_a_drill_that_misses_a_limit_says_which(change: dict[str, Any], word: str) -> None:
    (why,) = judge(dataclasses.replace(GOOD, **change), Budget(), WORDS)
    assert word in why


@pytest.mark.parametrize(
    ("limits", "change", "word"),
    [
        ({"failed": 2}, {}, "3 of 100 requests failed, at most 2 may"),
        ({"ended_seconds": 40.0}, {}, "every pod's container ended: never seen"),
        ({"ended_seconds": 40.0}, {"ended_seconds": 41.0}, "ended after 41.0 s"),
    ],
)
def test_limits_that_only_some_drills_have(limits: dict[str, Any], change: dict[str, Any], word: str) -> None:
    (why,) = judge(dataclasses.replace(GOOD, **change), Budget(**limits), WORDS)
    assert word in why


def test_limits_that_are_not_set_are_not_missed() -> None:
    slow = dataclasses.replace(GOOD, recovered_seconds=300.0, weight_moved_seconds=None, out_of_rotation_seconds=None)
    open_budget = Budget(recovered_seconds=None, out_of_rotation_seconds=None)
    assert judge(slow, open_budget, Must(weight_moves=False)) == ()
    never = dataclasses.replace(slow, recovered_seconds=None)
    assert judge(never, open_budget, Must(weight_moves=False)) != ()


def test_the_last_failed_request_is_told_by_when_it_began() -> None:
    requests = [Request(2, 3, ""), Request(3, 9, "late"), Request(4, 5, "")]
    assert last_failed(requests, since=2) == (1, "late")
    assert last_failed(requests[:1], since=2) == (None, "")


def test_silence_is_measured_between_good_answers_until_the_last_request_began() -> None:
    requests = [Request(0, 1, ""), Request(2, 5, "late"), Request(3, 4, ""), Request(4, 9, ""), Request(11, 30, "")]
    assert longest_silence(requests, since=2) == 5, "from 4 to 9; the answer at 30 says nothing of silence"
    assert longest_silence([*requests, Request(20, 21, "late")], since=2) == 11, "from 9 to 20"
    assert longest_silence(requests[:2], since=2) is None


def test_results_replace_those_of_the_same_drill_and_engine_only(tmp_path: Path) -> None:
    file = tmp_path / "results" / "drills.json"
    first = Result("pod", "double", "2026-01-01T00:00:00+00:00", GOOD, Budget(), ())
    report.write(file, [first, dataclasses.replace(first, engine="vllm")])
    report.write(file, [dataclasses.replace(first, at="2026-01-02T00:00:00+00:00", why=("too late", "no cause"))])
    rows = json.loads(file.read_text())
    assert [(row["engine"], row["at"][:10], row["passed"], row["why"]) for row in rows] == [
        ("double", "2026-01-02", False, "too late; no cause"),
        ("vllm", "2026-01-01", True, ""),
    ]
    promised = {"drill", "engine", "requests", "failed", "out_of_rotation_seconds", "recovered_seconds"}
    assert promised | {"first_cause", "budget", "passed", "why"} <= set(rows[0])


def test_a_drill_is_there_once_for_an_engine_and_layouts_stay_together() -> None:
    found = drills()
    each = [(drill.name, engine) for drill in found for engine in drill.engines]
    assert len(set(each)) == len(each)
    layouts = [drill.layout.name for drill in found]
    changes = sum(before != after for before, after in pairwise(layouts))
    assert changes == len(set(layouts)) - 1


def test_everything_must_leave_rotation_within_five_seconds_but_a_stall() -> None:
    late = {
        drill.name: budget_of(drill, engine).out_of_rotation_seconds
        for drill in drills()
        for engine in drill.engines
        if budget_of(drill, engine).out_of_rotation_seconds != 5
    }
    assert {name: seconds for name, seconds in late.items() if seconds} == {"rank-frozen": 25, "engine-hung": 25}
    assert {name for name, seconds in late.items() if seconds is None} == {
        drill.name for drill in drills() if drill.name.startswith(("load-", "zone-", "routes-", "node-cordoned"))
    }


@pytest.mark.parametrize(("size", "least", "rate"), [(FULL, 20_000, 100), (SHORT, 2_000, 50), (MODEL, 400, 2)])
def test_nothing_fails_under_load(size: Size, least: int, rate: int) -> None:
    loaded = load_drills(size)
    assert len(loaded) == 4
    assert {drill.limits["failed"] for drill in loaded} == {0}
    assert sum(drill.requests for drill in loaded) >= least
    assert all(drill.shape and drill.shape.stream and drill.shape.long_every for drill in loaded)
    assert {drill.shape.per_second for drill in loaded if drill.shape} == {rate}


def test_loading_a_real_model_has_no_limit() -> None:
    drill = next(drill for drill in drills() if drill.name == "rank-frozen")
    assert budget_of(drill, Engine.VLLM).recovered_seconds is None
    assert budget_of(drill, Engine.DOUBLE).recovered_seconds is not None


LAYOUTS = {(drill.layout, engine) for drill in drills() for engine in drill.engines}


@pytest.mark.parametrize(
    ("layout", "engine"), [pytest.param(*each, id=f"{each[0].name}-{each[1]}") for each in sorted(LAYOUTS, key=str)]
)
def test_what_is_served_is_a_valid_resource(layout: Layout, engine: Engine) -> None:
    verdict = offline.judge(manifest(layout, engine))
    assert verdict.valid, verdict.findings


def test_a_drill_that_is_broken_off_has_failed_and_says_why_without_the_whole_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: Any) -> None:
        raise RuntimeError("kubectl --kubeconfig=/home/me/config apply\nended with status 1:\nerror: timed out")

    monkeypatch.setattr(Site, "target", refused)
    site = Site.__new__(Site)
    result = run(load_drills(SHORT)[0], site, Engine.DOUBLE)
    assert not result.passed
    assert result.why == ("the drill was broken off: error: timed out",)
