"""Is the engine stuck, does its canary pass, and must the group end: with the time and the engine's words given."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.unit.pods import until
from trireme_runtime import canary, ends, stall, watch
from trireme_runtime.canary import Canary
from trireme_runtime.ends import Signs
from trireme_runtime.membership import Loss, Place
from trireme_runtime.stall import Sample, Stall, StallWatch
from trireme_runtime.termination import Cause

IDLE = Sample(0, 1, (0.0,))


def busy(mark: float, *, running: int = 2, completed: int = 1) -> Sample:
    return Sample(running, completed, (mark,))


def watched(*seen: tuple[float, Sample]) -> StallWatch:
    watch = StallWatch(60)
    for now, sample in seen:
        watch.observe({"0": sample}, now)
    return watch


@pytest.mark.parametrize(
    ("seen", "want"),
    [
        pytest.param([(0, busy(1)), (59, busy(1))], None, id="not long enough"),
        pytest.param([(0, busy(1)), (30, busy(1)), (60, busy(1))], Stall(0, 2), id="nothing moves"),
        pytest.param([(0, busy(1)), (30, busy(2)), (60, busy(2))], None, id="it moved meanwhile"),
        pytest.param([(0, busy(1)), (30, busy(2)), (90, busy(2))], Stall(30, 2), id="measured from the last step"),
        pytest.param([(0, IDLE), (1000, IDLE)], None, id="idle"),
        pytest.param([(0, IDLE), (1000, busy(0.0)), (1059, busy(0.0))], None, id="idleness is not counted"),
        pytest.param([(0, busy(1)), (60, busy(1)), (61, busy(2))], None, id="it woke up"),
        pytest.param([(0, busy(1, completed=0)), (600, busy(1, completed=0))], None, id="the first request compiles"),
        pytest.param([(0, busy(1))], None, id="no answer since"),
    ],
)
def test_an_engine_is_stalled_when_requests_run_and_nothing_moves(
    seen: list[tuple[float, Sample]], want: Stall | None
) -> None:
    assert watched(*seen).stall() == want


def test_one_of_several_engines_can_be_stalled() -> None:
    watch = StallWatch(60)
    for now in (0, 30, 60):
        watch.observe({"0": busy(now), "1": busy(1, running=5)}, now)
    assert watch.stall() == Stall(0, 5)
    assert not watch.has_moved_since(1)


@pytest.mark.parametrize(
    ("heard_since", "now", "want"),
    [
        pytest.param(float("-inf"), 60, Stall(0, 2), id="no other pods"),
        pytest.param(-300, 60, Stall(0, 2), id="all were heard all the time"),
        pytest.param(float("inf"), 600, None, id="a pod is silent"),
        pytest.param(50, 60, None, id="a pod is only just back"),
        pytest.param(50, 110, Stall(50, 2), id="a pod is back, and the engine does not go on"),
    ],
)
def test_a_stall_is_none_while_a_silence_explains_it(heard_since: float, now: float, want: Stall | None) -> None:
    assert stall.unexplained(Stall(0, 2), heard_since, now=now, limit=60) == want


def test_an_engine_has_moved_when_a_step_ended_or_nothing_ran() -> None:
    assert StallWatch(60).has_moved_since(5), "an engine without metrics is not held against its group"
    assert not watched((0, busy(1)), (10, busy(1))).has_moved_since(5)
    assert watched((0, busy(1)), (10, busy(2))).has_moved_since(5)
    assert watched((0, busy(1)), (10, IDLE)).has_moved_since(5)


METRICS = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="m"} 7.0
vllm:iteration_tokens_total_count{engine="0",model_name="m"} 9.0
vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 90.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 4.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 1.0
vllm:request_success_total{engine="0",finished_reason="abort",model_name="m"} 50.0
vllm:request_success_total{engine="1",finished_reason="error",model_name="m"} 50.0
"""


def test_samples_are_read_for_each_engine() -> None:
    found = stall.samples(METRICS)
    assert {name: (sample.running, sample.completed) for name, sample in found.items()} == {"0": (3, 5), "1": (1, 0)}
    assert stall.samples("") == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("0.25", "0.26", id="a piece of a long prefill"),
        pytest.param("} 9.0", "} 10.0", id="an iteration"),
        pytest.param("} 90.0", "} 91.0", id="its tokens"),
        pytest.param("} 3.0", "} 4.0", id="another request was admitted"),
    ],
)
def test_each_step_of_the_engine_moves_a_mark(old: str, new: str) -> None:
    watch = StallWatch(60)
    watch.observe(stall.samples(METRICS), 0)
    watch.observe({"0": stall.samples(METRICS.replace(old, new, 1))["0"]}, 60)
    assert watch.has_moved_since(60) or watch.stall() is None


def test_a_client_that_goes_away_is_no_step() -> None:
    watch = StallWatch(60)
    watch.observe(stall.samples(METRICS), 0)
    watch.observe(stall.samples(METRICS.replace("50.0", "51.0")), 60)
    assert watch.stall() == Stall(0, 3)


LOST = Loss(Place(1, "m-0-1", 8), "has been silent for more than 30 s")
DEAD = Loss(Place(1, "m-0-1", 8), "is gone: refused")
KILLED = Cause("EngineKilled", "killed", pod="m-0-1")


@pytest.mark.parametrize(
    ("signs", "reason"),
    [
        pytest.param(Signs(), None, id="nothing"),
        pytest.param(Signs(death=DEAD, stall=Stall(0, 1)), "MemberDead", id="a proof comes first"),
        pytest.param(
            Signs(death=Loss(DEAD.place, "has failed", cause=KILLED)), "EngineKilled", id="what it said itself"
        ),
        pytest.param(Signs(lost=LOST), "MemberLost", id="lost"),
        pytest.param(Signs(stall=Stall(40, 3), lost=LOST), "Stalled", id="stalled"),
        pytest.param(Signs(unhealthy_for=29, unhealthy="the engine: refused"), None, id="unhealthy for a while"),
        pytest.param(Signs(unhealthy_for=31, unhealthy="the engine: refused"), "EngineUnhealthy", id="for good"),
    ],
)
def test_what_ends_a_group(signs: Signs, reason: str | None) -> None:
    proof = ends.proof(signs)
    cause = proof or ends.suspicion(signs, now=100, unhealthy_limit=30)
    assert (cause.reason if cause else None) == reason
    assert (proof is not None) is (signs.death is not None), "a proof waits for nobody's consent"


def test_a_cause_names_the_pod_and_what_was_seen() -> None:
    lost = ends.suspicion(Signs(lost=LOST), now=0, unhealthy_limit=30)
    assert lost == Cause("MemberLost", "worker 1 has been silent for more than 30 s", pod="m-0-1", rank=8)
    stalled = ends.suspicion(Signs(stall=Stall(40, 3)), now=100, unhealthy_limit=30)
    assert stalled is not None
    assert stalled.message == "3 requests run and the engine has done nothing for 60 s"


Route = Callable[[dict[str, Any] | None, str], tuple[int, bytes]]


@contextmanager
def engine(answers: Route) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b'{"data": [{"id": "served"}]}' if self.path == "/v1/models" else b"", 200)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code, data = answers(body, self.headers.get("Authorization", ""))
            self._answer(data, code)

        def _answer(self, data: bytes, code: int) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


GOOD = b'{"choices": [{"text": "", "finish_reason": "length"}]}'


def test_the_canary_asks_the_served_model_for_its_tokens_with_the_key() -> None:
    asked: list[Any] = []

    def answer(body: dict[str, Any] | None, key: str) -> tuple[int, bytes]:
        asked.append((body, key))
        return 200, GOOD

    with engine(answer) as port:
        canary.completion("127.0.0.1", port, key="k", tokens=2)()
    ((body, key),) = asked
    assert (body["model"], body["max_tokens"], key) == ("served", 2, "Bearer k")


@pytest.mark.parametrize(
    ("code", "data", "message"),
    [
        pytest.param(401, b'{"error": "Unauthorized"}', "answers 401: .*Unauthorized", id="a wrong key"),
        pytest.param(404, b"{}", "canary.mode: Off", id="no such endpoint"),
        pytest.param(200, b"not json", "no JSON", id="no JSON"),
        pytest.param(200, b'{"choices": []}', "no completion", id="nothing completed"),
        pytest.param(200, b"[]", "no completion", id="a list"),
    ],
)
def test_a_canary_that_fails_says_why(code: int, data: bytes, message: str) -> None:
    with engine(lambda _body, _key: (code, data)) as port, pytest.raises(ValueError, match=message):
        canary.completion("127.0.0.1", port, key="", tokens=1)()


def test_an_engine_that_does_not_answer_fails_the_canary() -> None:
    with pytest.raises(ValueError, match="refused"):
        canary.completion("127.0.0.1", 9, key="", tokens=1)()


def test_a_canary_is_tried_again_until_it_passes_once() -> None:
    answers: list[str] = ["no room", "", "never asked"]

    def complete() -> None:
        if text := answers.pop(0):
            raise ValueError(text)

    clock = [100.0]
    bird = Canary(complete, clock=lambda: clock[0])
    assert bird.obstacle == "waiting for a canary completion"
    bird.try_when_due(100.0)
    until(lambda: bird.result is not None, "the first try")
    assert bird.obstacle == "waiting for a canary completion; the last one failed: no room"
    bird.try_when_due(101.9)
    assert len(answers) == 2, "not at once"
    bird.try_when_due(102.1)
    until(lambda: bird.passed, "the second try")
    assert bird.obstacle == ""
    bird.try_when_due(500.0)
    assert answers == ["never asked"]


@pytest.mark.parametrize(
    ("words", "variables", "want"),
    [
        pytest.param(["vllm", "serve", "m"], {}, "", id="none"),
        pytest.param(["vllm", "--api-key", "a", "b", "--port", "1"], {"VLLM_API_KEY": "e"}, "a", id="the first one"),
        pytest.param(["vllm", "--api_key=a"], {}, "a", id="in one word"),
        pytest.param(["vllm", "--api-ke", "a"], {}, "a", id="behind a part of the flag"),
        pytest.param(["vllm", "--api-server-count", "2", "--api", "a"], {}, "", id="behind another flag"),
        pytest.param(["vllm"], {"VLLM_API_KEY": "e"}, "e", id="of the environment"),
    ],
)
def test_the_key_is_the_engines(words: list[str], variables: dict[str, str], want: str) -> None:
    assert canary.api_key(words, variables) == want


def test_what_runs_is_counted_before_a_drain_too(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str | None] = ["vllm:num_requests_running 2\nvllm:num_requests_waiting 1\n"]
    monkeypatch.setattr(watch, "_every", lambda *_, **__: None)
    monkeypatch.setattr(watch, "_metrics", lambda *_: said[0])
    engine = watch.EngineWatch("127.0.0.1", 1, silent_seconds=3, stall_seconds=60)

    def counted() -> tuple[int | None, int | None]:
        engine._ask_metrics()
        return engine.requests, engine.unfinished

    assert counted() == (None, None), "it loads"
    engine.pulse.beat(0.0)
    assert counted() == (3, None)
    engine.begin_drain()
    assert counted() == (3, 3)
    said[0] = None
    assert counted() == (None, None), "what was said before does not count"
