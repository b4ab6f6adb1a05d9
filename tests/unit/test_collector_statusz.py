"""The answer of a launcher: what is taken from it, and what refuses it."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.launchers import document
from trireme_operator.collector import AnswerError, Canary, Failure, Heard, Held, Member, is_news, parse

FULL: dict[str, Any] = {
    "epoch": "uid-0",
    "reason": "worker 1 is silent for 4 s",
    "members": [
        {"index": 1, "pod": "g-0-1", "podUID": "a", "address": "10.0.0.7", "state": "Silent", "heartbeatAge": 4.5,
         "stage": "Ready", "reason": "no answer"},
        {"index": 2, "pod": "g-0-2", "podUID": "b", "address": "10.0.0.8", "state": "Alive", "heartbeatAge": 0.4,
         "stage": "Ready", "reason": ""},
    ],
    "stages": [
        {"stage": "Waiting", "since": "2026-01-01T00:00:00Z", "seconds": 3.1, "bytes": None, "totalBytes": None},
        {"stage": "Loading", "since": "2026-01-01T00:00:03Z", "seconds": 9, "bytes": 10, "totalBytes": 20},
    ],
    "stalled": {"since": "2026-01-01T00:00:00Z", "running": 3},
    "canary": {"passed": False, "seconds": 0.4, "at": "2026-01-01T00:00:00Z",
               "reason": "HTTP 500"},
    "failure": {"reason": "EngineKilled", "exitCode": None, "signal": 9, "message": "killed", "log": [], "pod": "g-0-1",
                "rank": 1, "at": "2026-01-01T00:00:00Z"},
    "held": {"until": "2026-01-01T00:10:00Z", "failures": 5, "cause": "EngineKilled: killed"},
    "preflight": {"mode": "Warn", "passed": False, "seconds": 7.2, "checks": [
        {"name": "ports", "passed": True, "pod": "g-0", "peer": "g-0-1", "value": None, "unit": None, "threshold": None,
         "reason": ""},
        {"name": "pairwise", "passed": False, "pod": "g-0", "peer": "g-0-1", "value": 11.2, "unit": "GB/s",
         "threshold": 20, "reason": "11.2 GB/s, wanted 20"},
    ]},
}  # fmt: skip


def said(stage: str = "Ready", **fields: Any) -> Heard:
    return parse(json.dumps(document("uid-0", stage) | fields).encode(), pod_uid="uid-0")


def test_a_launcher_of_today_says_its_stage_and_nothing_else() -> None:
    assert said("Loading") == Heard("uid-0", "Loading", since="2026-01-01T00:00:00Z")


def test_what_runs_in_the_engine_is_taken_and_changes_nothing_that_is_said_of_the_group() -> None:
    engine = {"pid": 17, "running": True, "healthy": True, "unfinished": None}
    assert said(engine=engine | {"requests": 3}).requests == 3
    assert said(engine=engine | {"requests": None}).requests is None
    assert said(engine=None).requests is None
    assert not is_news(said(engine=engine | {"requests": 3}), said(engine=engine | {"requests": 0}))
    with pytest.raises(AnswerError, match=r"engine\.requests is not a count"):
        said(engine=engine | {"requests": "3"})


def test_everything_that_is_acted_on_is_taken() -> None:
    assert said("Loading", **FULL) == Heard(
        pod_uid="uid-0",
        stage="Loading",
        since="2026-01-01T00:00:00Z",
        reason="worker 1 is silent for 4 s",
        epoch="uid-0",
        lost=(Member(1, "Silent", 4.5, "no answer"),),
        failure=Failure("EngineKilled", "killed", "g-0-1", 1),
        canary=Canary(passed=False, reason="HTTP 500"),
        held=Held("2026-01-01T00:10:00Z", 5, "EngineKilled: killed"),
        stalled="2026-01-01T00:00:00Z",
        failed_checks=("pairwise (g-0 -> g-0-1): 11.2 GB/s, wanted 20",),
        done=10,
        total=20,
    )


def test_what_is_null_is_missing() -> None:
    assert said("Ready", **dict.fromkeys([*FULL, "stageSince"])) == Heard("uid-0", "Ready")


def test_the_cause_of_a_hold_may_be_a_text_or_a_first_cause() -> None:
    cause = {"reason": "EngineKilled", "message": "killed"}
    held = said("Held", held={"until": None, "failures": 1, "cause": cause}).held
    assert held == Held("", 1, "EngineKilled: killed")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe{", id="no text"),
        pytest.param(b"[" * 60_000, id="nested too deep"),
        pytest.param(b'{"podUID": ' + b"9" * 60_000, id="a number without end"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(json.dumps(document("uid-1")).encode(), id="another pod"),
        pytest.param(json.dumps(document("uid-0") | {"stage": None}).encode(), id="no stage"),
        pytest.param(b'{"podUID": "uid-0", "stage": "Ready", "members": [{"state": "Dead", "index": NaN}]}', id="NaN"),
    ],
)
def test_what_is_no_answer_of_the_launcher_is_refused(body: bytes) -> None:
    with pytest.raises(AnswerError):
        parse(body, pod_uid="uid-0")


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("stage", "ready", "stage"),
        ("stage", "Ready\n", "stage"),
        ("stage", "R" * 40, "stage"),
        ("stageSince", 5, "stageSince"),
        ("stageSince", "2026-13-01T00:00:00Z", "stageSince"),
        ("stageSince", "yesterday", "stageSince"),
        ("reason", {"a": 1}, "reason"),
        ("epoch", 7, "epoch"),
        ("members", {}, "members"),
        ("members", [1], "members[0]"),
        ("members", [{"state": "Dead", "index": True}], "members[0].index"),
        ("members", [{"state": "Dead", "index": -1}], "members[0].index"),
        ("members", [{"state": "Dead"}], "members[0].index"),
        ("members", [{"state": "Dead", "index": 1, "heartbeatAge": "old"}], "members[0].heartbeatAge"),
        ("members", [{"state": "Alive"}] * 257, "members"),
        ("stages", [{"stage": "Ready", "bytes": 1.5}], "stages[0].bytes"),
        ("failure", "OOM", "failure"),
        ("failure", {"rank": "one"}, "failure.rank"),
        ("canary", {"passed": "yes"}, "canary.passed"),
        ("held", {"until": "soon"}, "held.until"),
        ("stalled", True, "stalled"),
        ("preflight", {"checks": [{"passed": None}]}, "preflight.checks[0].passed"),
    ],
)
def test_a_wrong_type_refuses_the_whole_answer_and_names_the_field(field: str, value: Any, path: str) -> None:
    with pytest.raises(AnswerError) as caught:
        parse(json.dumps(document("uid-0") | {field: value}).encode(), pod_uid="uid-0")
    assert str(caught.value).startswith(path)


def test_texts_become_one_line_that_any_api_server_stores_as_it_is() -> None:
    reason = said(reason="a\n\x1b[31mb\ud800\u202e" + "x" * 60_000).reason
    assert reason.startswith("a [31mb x")
    assert len(reason) == 300
    assert reason.isprintable()


@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=5), st.data()
)
def test_any_value_in_any_field_is_taken_or_refused(value: Any, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from([*FULL, "stage", "stageSince", "podUID"]))
    body = json.dumps(document("uid-0", **FULL) | {field: value}).encode()
    try:
        heard = parse(body, pod_uid="uid-0")
    except AnswerError:
        return
    assert len(repr(heard)) < 4096


def test_noise_is_refused() -> None:
    rng = random.Random(7)  # noqa: S311
    for _ in range(200):
        with pytest.raises(AnswerError):
            parse(rng.randbytes(300), pod_uid="uid-0")


def test_a_ready_pod_is_no_news_unless_something_is_wrong_with_it() -> None:
    dead = [{"index": 1, "state": "Dead"}]
    assert not is_news(None, said())
    assert not is_news(said("Loading"), said()), "its readiness probe tells it to everybody"
    assert is_news(said(), said(members=dead))
    assert is_news(said("Loading", members=dead), said())
    assert is_news(None, said(members=dead))


def test_a_change_of_stage_members_failure_canary_or_hold_is_news() -> None:
    before = said("Loading")
    assert is_news(None, before)
    assert is_news(before, said("Failed"))
    assert is_news(said(), before)
    for field in ("members", "failure", "canary", "held", "stalled", "preflight"):
        assert is_news(before, said("Loading", **{field: FULL[field]})), field


def test_texts_ages_and_bytes_alone_are_no_news() -> None:
    older = {**FULL, "members": [{**FULL["members"][0], "heartbeatAge": 5.5}], "reason": "worker 1 is silent for 5 s"}
    older["stages"] = [{"stage": "Loading", "bytes": 11, "totalBytes": 20}]
    assert said("Loading", **FULL) != said("Loading", **older)
    assert not is_news(said("Loading", **FULL), said("Loading", **older))


def test_each_tenth_of_a_fetch_is_news_or_each_doubling_of_what_has_no_total() -> None:
    def fetched(done: int, total: int | None) -> Heard:
        return said("Fetching", stages=[{"stage": "Fetching", "bytes": done, "totalBytes": total}])

    steps = [fetched(done, 1000) for done in range(0, 1001, 10)]
    assert sum(is_news(before, after) for before, after in itertools.pairwise(steps)) == 10
    open_end = [fetched(done, None) for done in range(1, 1025)]
    assert sum(is_news(before, after) for before, after in itertools.pairwise(open_end)) == 10
    assert not is_news(fetched(990, 1000), said()), "and that it is over is told by the stage"
