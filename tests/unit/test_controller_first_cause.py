"""The first cause of a group's end, as its pods tell it."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.controller_samples import pod
from trireme_operator.controller.first_cause import failures_of, finished_with, tells
from trireme_operator.controller.times import seconds, timestamp
from trireme_operator.kube import Obj

START = "2026-01-01T10:00:00Z"
T0 = seconds(START) or 0


def at(offset: int) -> str:
    return timestamp(T0 + offset)


def ended(finished: int, code: int = 1, *, name: str = "engine", last: bool = False, **fields: Any) -> Obj:
    """The status of a container that ended `finished` seconds after the start."""
    told = fields.pop("told", None)
    terminated = {"exitCode": code, "reason": "Error", "finishedAt": at(finished), **fields}
    if told is not None:
        terminated["message"] = json.dumps({"exitCode": None, "signal": None, "message": "", "log": []} | told)
    state = {"lastState": {"terminated": terminated}, "state": {"running": {}}}
    return {"name": name, **(state if last else {"state": {"terminated": terminated}})}


def member(
    worker: int, *statuses: Obj, created: int = 0, deleted: int | None = None, group: int = 0, **status: Any
) -> Obj:
    found = pod(
        "llm", group, worker, ready=False, **({"containerStatuses": list(statuses)} if statuses else {}), **status
    )
    meta = found["metadata"]
    meta |= {"uid": f"uid-{group}-{worker}-{created}", "creationTimestamp": at(created)}
    meta["labels"]["leaderworkerset.sigs.k8s.io/template-revision-hash"] = "r1"
    if deleted is not None:
        meta |= {"deletionTimestamp": at(deleted + 120), "deletionGracePeriodSeconds": 120}
    return found


def causes(*pods: Obj) -> list[str]:
    return [failure.cause for failure in failures_of("llm", pods)]


def test_a_group_without_a_failed_pod_has_none() -> None:
    assert causes(member(0), member(1)) == []
    assert causes(member(0, ended(5, 0)), member(1, ended(6, 0))) == [], "what ended well did not fail"


def test_the_launchers_message_says_what_happened() -> None:
    told = {"reason": "EngineExited", "exitCode": 0, "message": "the engine ended", "log": ["one", "two"], "rank": 4}
    (found,) = failures_of("llm", [member(0), member(1, ended(7, told=told))])
    assert found.cause == "worker 1, rank 4: EngineExited (exit 0)"
    assert (found.message, found.log, found.time, found.revision) == ("the engine ended", ("one", "two"), T0 + 7, "r1")
    assert found.epoch == "uid-0-0-0"
    assert found.pod == "llm-0-1"


def test_a_container_that_was_out_of_memory_says_so_with_or_without_a_message() -> None:
    told = {"reason": "EngineKilled", "signal": "SIGKILL", "log": ["last words"]}
    (with_message,) = failures_of("llm", [member(0), member(1, ended(7, reason="OOMKilled", told=told))])
    assert with_message.cause == "worker 1: OOMKilled (exit 1)"
    assert with_message.log == ("last words",)
    assert causes(member(0), member(1, ended(7, 137, reason="OOMKilled"))) == ["worker 1: OOMKilled (exit 137)"]


def test_the_earliest_wins_and_what_only_follows_loses() -> None:
    leader = member(0, ended(9, told={"reason": "MemberLost", "message": "worker 1 is gone"}))
    worker = member(1, ended(10, told={"reason": "EngineKilled", "signal": "SIGKILL"}))
    other = member(2, ended(11, told={"reason": "EngineExited", "exitCode": 1}))
    assert causes(leader, worker, other) == ["worker 1: EngineKilled (SIGKILL)"]
    assert causes(leader) == ["leader: MemberLost"], "better than nothing"


def test_what_a_survivor_reports_of_another_pod_is_that_pods() -> None:
    told = {"reason": "EngineKilled", "signal": "SIGKILL", "pod": "llm-0-2", "rank": 17, "at": at(3)}
    (found,) = failures_of("llm", [member(0, ended(9, told=told))])
    assert (found.cause, found.pod, found.time) == ("worker 2, rank 17: EngineKilled (SIGKILL)", "llm-0-2", T0 + 3)
    own = member(2, ended(4, told={"reason": "EngineExited", "exitCode": 3}))
    assert causes(member(0, ended(9, told=told)), own) == ["worker 2: EngineExited (exit 3)"]
    about_leader = {"reason": "EngineExited", "exitCode": 1, "pod": "llm-0"}
    assert causes(member(0), member(1, ended(9, told=about_leader))) == ["leader: EngineExited (exit 1)"]


def test_a_container_that_was_restarted_in_place_is_known_by_its_last_state() -> None:
    first = {"terminated": {"exitCode": 1, "finishedAt": at(5), "message": json.dumps({"reason": "EngineNotStarted"})}}
    again = {"terminated": {"exitCode": 1, "finishedAt": at(15), "message": json.dumps({"reason": "RestartedInPlace"})}}
    status = {"name": "engine", "lastState": first, "state": again}
    assert causes(member(0, status)) == ["leader: EngineNotStarted"]
    assert causes(member(0, ended(5, 3, last=True))) == ["leader: Error (exit 3)"]


def test_containers_of_the_user_are_named() -> None:
    broken = member(0) | {"status": {"initContainerStatuses": [ended(3, 2, name="fetch", message="no such file")]}}
    (found,) = failures_of("llm", [broken])
    assert (found.cause, found.message) == ("leader, container fetch: Error (exit 2)", "no such file")


def test_an_evicted_pod_failed() -> None:
    condition = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": at(8)}
    evicted = member(1, phase="Failed", reason="Evicted", message="low on memory", conditions=[condition])
    (found,) = failures_of("llm", [member(0), evicted])
    assert (found.cause, found.time, found.message) == ("worker 1: Evicted", T0 + 8, "low on memory")


def test_a_pod_that_was_stopped_because_it_was_deleted_did_not_fail() -> None:
    for code in (137, 143):
        assert causes(member(0, deleted=5), member(1, ended(130, code), deleted=5)) == []
    assert causes(member(0), member(1, ended(4, 137), deleted=5)) == ["worker 1: Error (exit 137)"]
    assert causes(member(0), member(1, ended(9, 137, reason="OOMKilled"), deleted=5)) != []
    assert causes(member(0), member(1, ended(9, 137, told={"reason": "EngineKilled", "signal": "SIGKILL"}), deleted=5))


def test_a_group_that_is_taken_away_on_purpose_did_not_fail() -> None:
    """A worker may notice that its leader is gone before its own SIGTERM comes."""
    worker = member(1, ended(18, told={"reason": "LeaderLost"}))
    assert causes(member(0, deleted=5), worker) == []
    assert causes(member(0, deleted=18), worker) == ["worker 1: LeaderLost"], "the deletion followed"


def test_each_end_of_a_group_is_one_failure() -> None:
    old = [member(0, ended(5), deleted=6), member(1, ended(7, told={"reason": "LeaderLost"}))]
    new = [member(0, created=20), member(1, ended(30), created=20)]
    found = failures_of("llm", [*old, *new])
    assert [(each.epoch, each.cause) for each in found] == [
        ("uid-0-0-0", "leader: Error (exit 1)"),
        ("uid-0-0-20", "worker 1: Error (exit 1)"),
    ]
    # An old worker beside a new leader belongs to no leader that is known.
    (orphan,) = failures_of("llm", [member(0, created=20), old[1]])
    assert orphan.epoch == "uid-0-1-0"


def test_a_node_whose_clock_is_behind_hides_no_failure() -> None:
    (found,) = failures_of("llm", [member(0, created=50), member(1, ended(5), created=50)])
    assert found.time == T0 + 50


def test_groups_and_sets_are_told_apart() -> None:
    pods = [member(0, ended(5)), member(0, ended(6), group=1), member(0, group=2)]
    assert [each.group for each in failures_of("llm", pods)] == [0, 1]
    assert failures_of("llm-zone-b", pods) == []


def test_what_is_worth_remembering_after_it_is_gone() -> None:
    assert tells(member(0))
    assert tells(member(1, ended(5)))
    assert not tells(member(1))
    assert not tells(member(1, ended(5, 0)))


def test_a_pod_that_is_gone_is_remembered_while_one_of_its_time_is_there() -> None:
    gone = [member(0, deleted=6)]
    assert finished_with([member(1), member(0, created=20)], gone) == set()
    assert finished_with([member(1, created=20), member(0, created=20)], gone) == {"uid-0-0-0"}
    assert finished_with([member(0, created=20), member(0, group=1)], gone) == {"uid-0-0-0"}
