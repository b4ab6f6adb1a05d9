"""A leader asks before it starts: what each answer, and none, leads to."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.pod_environment import VARIABLES
from tests.unit.pods import Group, kill_tree, start_ready, until
from trireme_runtime import environment, fetch, permit
from trireme_runtime.permit import ASK_AGAIN_SECONDS, Held, Permit

NOW = 1_800_000_000.0
HELD = Held(NOW + 600, 5, "worker 1: OOMKilled (exit 137)")


class Asked:
    """An operator that answers as it is told, and a permit whose clocks the test moves."""

    def __init__(self, *answers: Held | Exception | None) -> None:
        self.answers = list(answers)
        self.now = 100.0
        self.times: list[float] = []
        self.permit = Permit(self._answer, wall=lambda: NOW + self.now - 100.0)

    def _answer(self) -> Held | None:
        self.times.append(self.now)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def waits_for(self) -> str:
        """What it waits for, once the answer to what was asked has come."""
        self.permit.waits_for(self.now)
        question = self.permit._question
        if question is not None:
            until(lambda: question.answered, "the answer came")
        return self.permit.waits_for(self.now)

    def run(self, seconds: float) -> None:
        """Look every five seconds, as long as it is held."""
        end = self.now + seconds
        while self.now < end and self.waits_for():
            self.now += 5


def test_a_group_that_may_start_does_so_and_asks_no_more() -> None:
    asked = Asked(None)
    assert asked.waits_for() == ""
    assert asked.waits_for() == ""
    assert len(asked.times) == 1


@pytest.mark.parametrize("error", [fetch.RefusedError("x"), fetch.UnreachableError("x"), ValueError("x")])
def test_without_an_answer_it_starts(error: Exception) -> None:
    assert Asked(error).waits_for() == ""


def test_it_waits_for_an_answer_for_a_second() -> None:
    forever = threading.Event()

    def ask() -> None:
        forever.wait(30)

    asked = Permit(ask)
    assert asked.waits_for(100.0) == "the operator, which is asked whether the group may start"
    assert asked.waits_for(100.9) != ""
    assert asked.waits_for(101.0) == ""
    forever.set()


def test_a_group_that_is_held_says_so_and_asks_again() -> None:
    asked = Asked(HELD, HELD, HELD, None)
    assert asked.waits_for() == "held until 2027-01-15T08:10:00Z after 5 failures: worker 1: OOMKilled (exit 137)"
    assert asked.permit.held == HELD
    asked.run(500)
    assert asked.waits_for() == ""
    assert vars(asked.permit)["held"] is None
    gaps = [later - earlier for earlier, later in zip(asked.times, asked.times[1:], strict=False)]
    assert all(ASK_AGAIN_SECONDS <= gap <= 1.1 * ASK_AGAIN_SECONDS + 5 for gap in gaps)


def test_without_further_answers_it_is_held_until_the_time_that_was_named() -> None:
    asked = Asked(HELD, *(fetch.UnreachableError("x") for _ in range(100)))
    asked.run(3600)
    assert asked.waits_for() == ""
    assert 600 <= asked.now - 100 <= 600 + ASK_AGAIN_SECONDS + 5


def test_a_time_that_has_passed_on_this_clock_is_no_reason_to_ask_all_the_time() -> None:
    asked = Asked(*(Held(NOW - 5, 1, "") for _ in range(100)))
    for _ in range(100):
        asked.waits_for()
        asked.now += 0.1
    assert 8 <= len(asked.times) <= 11


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, b"not listed"),
        (200, b""),
        (200, b"[]"),
        (200, b'{"start": false}'),
        (200, b'{"start": false, "until": "soon", "failures": 1, "cause": ""}'),
    ],
)
def test_an_answer_that_is_none_is_no_answer(status: int, body: bytes) -> None:
    with pytest.raises(ValueError, match="the operator"):
        permit.parse(fetch.Answer(status, body))


def test_answers_are_read() -> None:
    assert permit.parse(fetch.Answer(200, b'{"start": true}')) is None
    body = {"start": False, "until": "2026-01-01T00:00:00Z", "failures": 2, "cause": "x"}
    assert permit.parse(fetch.Answer(200, json.dumps(body).encode())) == Held(1767225600.0, 2, "x")
    body["until"] = "9999-01-01T00:00:00Z"
    far = permit.parse(fetch.Answer(200, json.dumps(body).encode()))
    assert far is not None
    assert far.until <= time.time() + 86400, "whatever is named, nobody waits for ever"


def test_only_a_leader_that_was_told_whom_to_ask_asks() -> None:
    told = {**VARIABLES, "TRIREME_PERMIT_URL": "http://trireme-permit.trireme-system.svc:8081"}
    assert environment.parse(told).permit == ("trireme-permit.trireme-system.svc", 8081)
    assert permit.of_pod(environment.parse(told)) is not None
    assert permit.of_pod(environment.parse({**told, "LWS_WORKER_INDEX": "1"})) is None
    assert permit.of_pod(environment.parse(VARIABLES)) is None
    for spoilt in ("", "permit:8081", "http://permit", "http://permit:x", "http://a/b:1"):
        with pytest.raises(environment.ContractError, match="TRIREME_PERMIT_URL"):
            environment.parse({**VARIABLES, "TRIREME_PERMIT_URL": spoilt})


# ---- real launchers ------------------------------------------------------------------------------------------------


class Operator:
    """Answers on a port of this machine, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Any = {"start": True}
        self.paths: list[str] = []
        operator = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                operator.paths.append(self.path)
                data = json.dumps(operator.answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.variables = {"TRIREME_PERMIT_URL": f"http://127.0.0.1:{self._server.server_port}"}
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def operator() -> Iterator[Operator]:
    found = Operator()
    yield found
    found.stop()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    group = Group(tmp_path)
    yield group
    group.stop()


def _until_held(group: Group, variables: dict[str, str]) -> tuple[Any, Any]:
    leader, worker = (group.start(index, variables=variables) for index in range(2))
    until(lambda: leader.stage() == "Held", "the leader is held")
    return leader, worker


def in_seconds(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def test_a_held_group_loads_nothing_until_it_may(group: Group, operator: Operator) -> None:
    operator.answer = {"start": False, "until": in_seconds(3), "failures": 5, "cause": "worker 1: OOMKilled (exit 137)"}
    leader, worker = _until_held(group, operator.variables)
    status = leader.status()
    assert status["held"] == {key: value for key, value in operator.answer.items() if key != "start"}
    assert "OOMKilled" in status["reason"]
    assert [pod.status()["engine"]["pid"] for pod in (leader, worker)] == [None, None]
    until(lambda: "the leader (Held: held until" in worker.status()["reason"], "the worker says what it waits for")
    operator.answer = {"start": True}
    for pod in (leader, worker):
        until(pod.is_ready, "the group starts when it may")
    assert leader.status()["held"] is None
    assert set(operator.paths) == {"/v1/permit/ns/g/0"}


def test_a_held_group_ends_at_once_when_it_is_taken_away(group: Group, operator: Operator) -> None:
    operator.answer = {"start": False, "until": in_seconds(600), "failures": 5, "cause": "x"}
    for pod in _until_held(group, operator.variables):
        pod.process.terminate()
        assert pod.wait(5) == 0


def test_a_group_starts_without_an_operator(group: Group) -> None:
    group.size = 1
    pod = group.start(variables={"TRIREME_PERMIT_URL": "http://127.0.0.1:9"})
    until(pod.is_ready, "ready though nobody answers")


def test_a_group_that_is_cut_ends_only_with_consent_and_is_spared_when_the_network_is_back(
    group: Group, operator: Operator
) -> None:
    operator.answer = {"start": True, "end": False, "cause": "group 1 of the zone is being ended"}
    wire = group.wires()
    limits = {"TRIREME_MEMBER_SILENT_SECONDS": "2", "TRIREME_MEMBER_LOST_SECONDS": "4"}
    leader, worker = start_ready(group, {**operator.variables, **limits})
    waits = "not ended yet: group 1 of the zone is being ended"

    wire.cut()
    until(lambda: all(waits in pod.status()["reason"] for pod in (leader, worker)), "both sides were refused")
    assert leader.ask("/readyz")[0] == 503
    wire.mend()
    until(lambda: leader.is_ready() and worker.stage() == "Ready", "nothing has happened")

    wire.cut()
    until(lambda: waits in leader.status()["reason"], "refused again")
    operator.answer["end"] = True
    assert [leader.wait(10), worker.wait(10)] == [1, 1]
    assert [pod.first_cause()["reason"] for pod in (leader, worker)] == ["MemberLost", "MemberLost"]
    assert "/v1/end/ns/g/0" in operator.paths


def test_a_proof_ends_a_group_whatever_the_operator_says(group: Group, operator: Operator) -> None:
    operator.answer = {"start": True, "end": False, "cause": "group 1 of the zone is being ended"}
    leader, worker = start_ready(group, operator.variables)
    kill_tree(worker)
    worker.process.wait()
    assert leader.wait(10) == 1
    assert leader.first_cause()["reason"] == "MemberDead"
    assert "/v1/end/ns/g/0" not in operator.paths
