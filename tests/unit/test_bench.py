"""The arithmetic of the bench, what it counts, and what it keeps."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from bench import allocator, crowd, report
from bench.audit import AuditLog, Request, parse, summary
from bench.bare import chains
from bench.board import Board, Complete, Event, ready, told
from bench.figures import LIMITS, NOT_YET, Figure, drifted, median_ratio, percentile, spread
from bench.scenario import CHILDREN, FEWEST_WRITES, GROUPS, ZONES, pod_status, pods, resource, steps
from trireme_operator.controller.groups import groups_of
from trireme_operator.controller.scope import CHILD_KINDS
from trireme_operator.kube import (
    BACKEND_TRAFFIC_POLICY,
    HORIZONTAL_POD_AUTOSCALER,
    INFERENCE_CLUSTER,
    INFERENCE_POOL,
    LEADER_WORKER_SET,
    NETWORK_POLICY,
    POD_MONITOR,
    SCALED_OBJECT,
    Obj,
)


def stored() -> Obj:
    raw = resource("ours", "llm")
    return raw | {"metadata": raw["metadata"] | {"uid": "0b7c", "generation": 1}}


@pytest.mark.parametrize(
    ("count", "percent", "want"),
    [
        pytest.param(1, 99, 1, id="of one value, that value"),
        pytest.param(100, 99, 99, id="the 99th of a hundred"),
        pytest.param(100, 100, 100, id="the largest"),
        pytest.param(101, 99, 100, id="never below 99 per cent"),
        pytest.param(4, 50, 2, id="the lower middle of an even number"),
    ],
)
def test_percentile_is_the_nearest_rank(count: int, percent: int, want: int) -> None:
    assert percentile(list(range(count, 0, -1)), percent) == want


@pytest.mark.parametrize(
    ("values", "percent"),
    [
        pytest.param([], 99, id="nothing measured"),
        pytest.param([1.0], 0, id="no share"),
        pytest.param([1.0], 101, id="more than all"),
    ],
)
def test_percentile_of_nothing_is_an_error(values: list[float], percent: int) -> None:
    with pytest.raises(ValueError, match=r"percent"):
        percentile(values, percent)


def test_ratio_is_of_medians_so_that_an_outlier_on_one_side_decides_nothing() -> None:
    assert median_ratio([2.0, 3.0, 90.0], [2.0, 1.0, 2.0]) == 1.5


@pytest.mark.parametrize("base", [[], [1.0]], ids=["none", "too few"])
def test_ratio_needs_pairs(base: list[float]) -> None:
    with pytest.raises(ValueError, match="pairs are needed"):
        median_ratio([1.0, 1.0] if base else [], base)


def test_drift_of_the_baseline_compares_its_halves() -> None:
    assert drifted([1.0, 1.0, 1.2, 1.2]) == pytest.approx(0.2)
    assert drifted([1.2, 1.2, 0.6, 0.6]) == pytest.approx(0.5)
    assert drifted([1.0]) == 0


def test_spread_is_in_milliseconds() -> None:
    assert spread([0.001, 0.002, 0.0034]) == {"p50_ms": 2.0, "p90_ms": 3.4, "p99_ms": 3.4, "max_ms": 3.4}


@pytest.mark.parametrize(
    ("value", "size", "want"),
    [
        pytest.param(1.3, 200, "pass", id="at the limit"),
        pytest.param(1.31, 200, "fail", id="above it"),
        pytest.param(1.0, 199, NOT_YET, id="too few to decide"),
        pytest.param(9.0, 199, NOT_YET, id="too few to fail"),
    ],
)
def test_only_a_full_run_decides(value: float, size: int, want: str) -> None:
    assert Figure("create_ratio", value, size).status == want


def test_every_limit_has_a_key_of_its_own() -> None:
    assert len({limit.key for limit in LIMITS}) == len(LIMITS)


def test_steps_are_the_children_and_the_numbers_of_groups() -> None:
    found = steps(stored())
    kinds = [step.kind for step in found]
    assert {kind: kinds.count(kind) for kind in CHILDREN} == CHILDREN
    followed = [step for step in found if step.then is not None]
    assert [step.kind for step in followed] == [LEADER_WORKER_SET] * len(ZONES)
    assert sum(len(chain) for chain in chains(found)) + 1 == FEWEST_WRITES


def test_the_baseline_applies_as_the_operator_does() -> None:
    path, body = next(chain for chain in chains(steps(stored())) if len(chain) == 2)[1]
    assert path.endswith("?fieldManager=trireme-replicas&fieldValidation=Strict&force=true")
    assert json.loads(body)["spec"] == {"replicas": GROUPS}


def test_pods_of_the_scenario_are_whole_ready_groups() -> None:
    whole = [pod | pod_status(ready=True) for pod in pods(stored())]
    for zone in ZONES:
        assert all(group.ready for group in groups_of(f"llm-{zone}", whole, replicas=GROUPS, size=1, now=0))
    broken = [pod | pod_status(ready=False) for pod in pods(stored())]
    assert not any(group.ready for group in groups_of("llm-zone-a", broken, replicas=GROUPS, size=1, now=0))


def events() -> list[Event]:
    """What the watches say of one reconcile: each child, and each number of groups after its LeaderWorkerSet."""
    found = []
    for step in steps(stored()):
        spec = step.body.get("spec", {})
        obj = step.body | ({"spec": spec | {"replicas": 1}} if step.then else {})
        found.append(Event(step.kind, "ADDED", obj, 0.0))
        if step.then is not None:
            labels = step.body["metadata"]["labels"]
            meta = step.then.body["metadata"] | {"labels": labels}
            found.append(Event(step.kind, "MODIFIED", step.then.body | {"metadata": meta}, 0.0))
    return found


def test_complete_with_the_last_event_and_not_before() -> None:
    complete = Complete()
    assert [complete(event) for event in events()] == [False] * (FEWEST_WRITES - 2) + [True]


def test_not_complete_without_the_numbers_of_groups() -> None:
    complete = Complete()
    assert not any(complete(event) for event in events() if event.type == "ADDED")


def test_a_deletion_completes_nothing() -> None:
    complete = Complete()
    last = events()[-1]
    assert not any(complete(event) for event in events()[:-1])
    assert not complete(Event(last.kind, "DELETED", last.obj, 0.0))
    assert complete(last)


def cluster(generation: int = 1, *, observed: int | None = None, is_ready: str | None = None) -> Event:
    conditions = [{"type": "Ready", "status": is_ready}] if is_ready else []
    status: dict[str, Any] = {"observedGeneration": observed, "conditions": conditions} if observed else {}
    meta = {"name": "llm", "namespace": "ours", "generation": generation}
    return Event(INFERENCE_CLUSTER, "MODIFIED", {"metadata": meta, "status": status}, 0.0)


def test_a_status_of_an_earlier_generation_tells_nothing() -> None:
    assert not told(cluster())
    assert not told(cluster(2, observed=1))
    assert told(cluster(2, observed=2))


def test_ready_is_told_apart_from_not_ready_and_from_silence() -> None:
    assert not ready(cluster(observed=1))
    assert not ready(cluster(observed=1), status="False")
    assert ready(cluster(observed=1, is_ready="True"))
    assert ready(cluster(observed=1, is_ready="False"), status="False")


async def test_board_wakes_whom_the_event_is_for_once() -> None:
    board = Board()
    mine = board.when("ours", "llm", told)
    others = board.when("bare", "llm", told)
    before = time.monotonic()
    for observed in (1, 2):
        meta = {"name": "llm", "namespace": "ours", "generation": 2}
        board.see(
            INFERENCE_CLUSTER,
            {"type": "MODIFIED", "object": {"metadata": meta, "status": {"observedGeneration": observed}}},
        )
        assert mine.done() is (observed == 2)
    assert before <= await mine <= time.monotonic()
    assert not others.done()
    others.cancel()
    await asyncio.sleep(0)


def test_an_error_on_a_watch_ends_the_run() -> None:
    with pytest.raises(RuntimeError, match="410"):
        Board().see(LEADER_WORKER_SET, {"type": "ERROR", "object": {"code": 410, "metadata": {"name": "x"}}})


def audit_line(user: str, verb: str, *, stage: str = "ResponseComplete", subresource: str = "") -> str:
    ref = {"resource": "services", "namespace": "ours", "name": "llm", "subresource": subresource}
    event = {
        "stage": stage,
        "user": {"username": user},
        "verb": verb,
        "objectRef": ref,
        "responseStatus": {"code": 200},
    }
    return json.dumps(event)


def test_audit_counts_requests_that_are_done() -> None:
    lines = [audit_line("a", "patch", subresource="status"), audit_line("a", "get", stage="ResponseStarted")]
    assert parse(lines) == [Request("a", "patch", "services/status", "ours", "llm", 200)]
    assert summary(parse([*lines, lines[0]])) == {"patch services/status": 2}


@pytest.mark.parametrize(
    ("verb", "want"),
    [("create", True), ("patch", True), ("delete", True), ("deletecollection", True), ("get", False), ("watch", False)],
)
def test_a_write_is_what_asks_for_a_change(verb: str, *, want: bool) -> None:
    assert parse([audit_line("a", verb)])[0].mutating is want


def test_audit_log_gives_each_request_once_and_none_that_is_half_written(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    log = AuditLog(file)
    assert log.new("a") == []
    file.write_text(audit_line("a", "patch") + "\n" + audit_line("b", "patch") + "\n" + '{"stage": "Resp')
    assert [request.user for request in log.new("a")] == ["a"]
    assert log.new("a") == []
    file.write_text(audit_line("a", "patch") + "\n" + audit_line("b", "patch") + "\n" + audit_line("a", "get") + "\n")
    assert [request.verb for request in log.new("a")] == ["get"]


def test_a_crowd_is_spread_over_namespaces() -> None:
    owners = crowd.crowd(25)
    assert len(set(owners)) == 25
    assert {sum(namespace == owner[0] for owner in owners) for namespace, _ in owners} == {2, 3}


def test_burst_is_compared_with_the_mean_of_the_baselines() -> None:
    ratio, spread_ = crowd.burst_figures(crowd.Burst(3.0, (1.0, 1.0, 2.0), 0.3), [1.0, 2.0])
    assert (ratio.value, ratio.size, ratio.details["bare_drift"]) == (2.0, 3, 1.0)
    assert spread_.value == 2.0
    assert ratio.details["operator_processor_ms_each"] == 100.0


def test_memory_of_each_is_what_came_with_the_resources() -> None:
    full, each, after = crowd.memory_figures([80.0, 120.0, 84.0], 1000)
    assert (full.value, each.value, after.value) == (120.0, 40.0, 1.05)
    assert (full.status, each.status, after.status) == ("pass", "pass", "pass")


def test_file_keeps_what_was_not_measured_again_and_says_what_never_was(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    first = report.keep({"create_ratio": report.entry(Figure("create_ratio", 1.23456, 200), load=(1.0, 2.0))}, file)
    assert first["create_ratio"]["status"] == "pass"
    assert first["burst_ratio"]["status"] == NOT_YET
    again = report.keep({"burst_ratio": report.entry(Figure("burst_ratio", 2.0, 50), load=(0.5, 0.5))}, file)
    assert again["create_ratio"]["value"] == 1.2346
    assert (again["burst_ratio"]["status"], again["burst_ratio"]["value"]) == (NOT_YET, 2.0)
    assert again["burst_ratio"]["full_run"] == {"resources": 1000}
    assert json.loads(file.read_text()) == {"figures": again}
    assert list(again) == [limit.key for limit in LIMITS]


def test_kinds_of_the_scenario_are_what_the_operator_makes() -> None:
    opt_in = {
        BACKEND_TRAFFIC_POLICY,
        HORIZONTAL_POD_AUTOSCALER,
        INFERENCE_POOL,
        NETWORK_POLICY,
        SCALED_OBJECT,
    }
    assert set(CHILDREN) == set(CHILD_KINDS) - opt_in - {POD_MONITOR}, "the last one needs an API"


def test_what_is_measured_has_the_allocator_of_the_image() -> None:
    settings = allocator.settings()
    assert settings["PYTHONMALLOC"] == "malloc", "else Python keeps megabytes for itself"
    assert settings["LD_PRELOAD"] == "libjemalloc.so.2"
    assert "background_thread:true" in settings["MALLOC_CONF"]
    assert allocator.PACKAGE in (Path(__file__).parents[2] / "Dockerfile").read_text()
