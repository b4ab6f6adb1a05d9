"""The engine double behaves as vLLM was measured to behave (tests/double/node.py says where from)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.double import flags
from tests.double.measure import SECONDS_HISTOGRAMS, TOKENS_HISTOGRAMS
from tests.unit.pods import ROOT, free_port, until

NAMES = ("--served-model-name", "tiny")


@dataclass
class Engine:
    """One process of the double."""

    process: subprocess.Popen[bytes]
    port: int

    def ask(self, path: str, body: dict[str, Any] | None = None, **headers: str) -> tuple[int, str]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=data, headers={"Content-Type": "application/json", **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310 - loopback
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (.*)$", self.ask("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else 0.0


@dataclass
class Engines:
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *arguments: str, **variables: str) -> Engine:
        port = free_port()
        argv = [sys.executable, "-m", "tests.double", "serve", "tiny", *NAMES, "--port", str(port), *arguments]
        environment = {"PATH": os.environ["PATH"], "DOUBLE_WORKER_STOP_SECONDS": "0.5", **variables}
        process = subprocess.Popen(argv, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
        self.processes.append(process)
        return Engine(process, port)

    def group(self, *arguments: str, **variables: str) -> tuple[Engine, Engine]:
        wiring = ("--nnodes", "2", "-tp", "2", "--master-port", str(free_port()), *arguments)
        leader = self.start(*wiring, "--node-rank", "0", **variables)
        worker = self.start(*wiring, "--node-rank", "1", "--headless", **variables)
        return leader, worker

    def serving(self, *arguments: str, **variables: str) -> Engine:
        engine = self.start(*arguments, **variables)
        until(lambda: engine.ask("/health")[0] == 200, "the double serves")
        return engine


@pytest.fixture
def engines() -> Iterator[Engines]:
    engines = Engines()
    yield engines
    for process in engines.processes:
        process.kill()
        process.wait()


def completion(tokens: int = 8, *, stream: bool = False) -> dict[str, Any]:
    return {"model": "tiny", "prompt": "row the boat", "max_tokens": tokens, "stream": stream}


class Background(threading.Thread):
    def __init__(self, engine: Engine, body: dict[str, Any]) -> None:
        super().__init__()
        self._engine, self._body = engine, body
        self.answer: tuple[int, str] = (0, "")
        self.start()

    def run(self) -> None:
        self.answer = self._engine.ask("/v1/completions", self._body)


def test_the_surface_is_vllms(engines: Engines) -> None:
    engine = engines.serving("--max-model-len", "512")
    for path in ("/health", "/ping", "/load", "/version", "/metrics"):
        assert engine.ask(path)[0] == 200, path
    assert [engine.ask(path)[0] for path in ("/ready", "/readyz", "/live")] == [404, 404, 404]
    (model,) = json.loads(engine.ask("/v1/models")[1])["data"]
    assert (model["id"], model["max_model_len"]) == ("tiny", 512)
    assert json.loads(engine.ask("/tokenize", {"prompt": "row the boat"})[1])["count"] == 3
    assert engine.ask("/v1/completions", completion() | {"model": "other"})[0] == 404
    status, text = engine.ask("/v1/completions", completion(510))
    assert (status, "maximum context length is 512" in text) == (400, True)
    assert engine.ask("/v1/completions", {"prompt": "x", "n": 2})[0] == 400


def test_answers_whole_and_streamed_hold_the_same_tokens(engines: Engines) -> None:
    engine = engines.serving(DOUBLE_STEP_SECONDS="0.001")
    whole = json.loads(engine.ask("/v1/completions", completion())[1])
    assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": 8, "total_tokens": 11}
    assert whole["choices"][0]["finish_reason"] == "length"
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 8}
    events = engine.ask("/v1/chat/completions", chat | {"stream_options": {"include_usage": True}})[1]
    *documents, end = [line.removeprefix("data: ") for line in events.splitlines() if line]
    chunks = [json.loads(document) for document in documents]
    pieces = [choice["delta"]["content"] for chunk in chunks for choice in chunk["choices"]]
    assert end == "[DONE]"
    assert "".join(pieces) == whole["choices"][0]["text"]
    assert chunks[-1]["usage"]["completion_tokens"] == 8
    natural = json.loads(engine.ask("/v1/chat/completions", chat | {"stream": False, "max_tokens": None})[1])
    assert natural["choices"][0]["finish_reason"] == "stop"


def test_metrics_count_what_happened(engines: Engines) -> None:
    engine = engines.serving(DOUBLE_STEP_SECONDS="0.001")
    assert "request_success_total" not in engine.ask("/metrics")[1], "a series appears with its first event"
    engine.ask("/v1/completions", completion(5))
    want = {
        "vllm:generation_tokens_total": 5,
        "vllm:prompt_tokens_total": 3,
        "vllm:request_success_total": 1,
        "vllm:num_requests_running": 0,
        "vllm:num_requests_waiting": 0,
        "vllm:inter_token_latency_seconds_count": 4,
        "vllm:request_generation_tokens_sum": 5,
        "vllm:iteration_tokens_total_count": 5,
    }
    assert {name: engine.metric(name) for name in want} == want
    text = engine.ask("/metrics")[1]
    assert all(f"vllm:{name}_bucket" in text for name in (*SECONDS_HISTOGRAMS, *TOKENS_HISTOGRAMS))


def test_requests_beyond_the_limit_wait(engines: Engines) -> None:
    engine = engines.serving("--max-num-seqs", "2")
    engine.ask("/double/slow?step_seconds=0.5", {})
    requests = [Background(engine, completion(8)) for _ in range(3)]
    until(lambda: engine.metric("vllm:num_requests_running") == 2, "two run")
    until(lambda: engine.metric("vllm:num_requests_waiting") == 1, "one waits")
    assert engine.metric("vllm:num_requests_running") == 2
    engine.ask("/double/slow?step_seconds=0.01", {})
    for request in requests:
        request.join()
        assert request.answer[0] == 200


def test_nothing_that_a_hanging_engine_says_of_itself_moves(engines: Engines) -> None:
    engine = engines.serving()
    first = Background(engine, completion(100))
    until(lambda: engine.metric("vllm:num_requests_running") == 1, "one runs")
    engine.ask("/double/hang", {})
    before = engine.ask("/metrics")[1]
    second = Background(engine, completion(4))
    until(lambda: json.loads(engine.ask("/double/state")[1])["waiting"] == 1, "one more has come")
    assert engine.ask("/metrics")[1] == before
    assert engine.ask("/health")[0] == 200, "a hanging engine says that it is healthy"
    engine.ask("/double/hang?value=0", {})
    for request in (first, second):
        request.join()
        assert request.answer[0] == 200


def test_an_api_key_guards_v1_only(engines: Engines) -> None:
    engine = engines.serving("--api-key", "secret")
    assert engine.ask("/v1/models")[0] == 401
    assert engine.ask("/v1/models", Authorization="Bearer secret")[0] == 200
    assert engine.ask("/health")[0] == engine.ask("/metrics")[0] == 200


def test_a_leader_serves_when_all_nodes_have_joined(engines: Engines) -> None:
    port = str(free_port())
    wiring = ("--nnodes", "2", "-tp", "2", "--master-port", port)
    leader = engines.start(*wiring, "--node-rank", "0")
    time.sleep(0.7)
    assert leader.ask("/health")[0] == 0
    engines.start(*wiring, "--node-rank", "1", "--headless")
    until(lambda: leader.ask("/health")[0] == 200, "the group serves")


def test_a_dead_worker_is_noticed_only_by_a_request(engines: Engines) -> None:
    leader, worker = engines.group()
    until(lambda: leader.ask("/health")[0] == 200, "the group serves")
    worker.process.kill()
    time.sleep(1.2)
    assert leader.ask("/health")[0] == 200
    assert leader.ask("/v1/completions", completion())[0] == 500
    assert leader.ask("/health")[0] == 503
    assert leader.process.wait(5) == 0, "exit codes lie"


def test_with_nccl_a_request_beside_a_dead_worker_hangs(engines: Engines) -> None:
    variables = {"DOUBLE_PEER_DEATH": "hang", "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "1.5"}
    leader, worker = engines.group(**variables)
    until(lambda: leader.ask("/health")[0] == 200, "the group serves")
    worker.process.kill()
    began = time.monotonic()
    assert leader.ask("/v1/completions", completion())[0] == 500
    assert time.monotonic() - began > 1.4


def test_a_worker_stays_when_its_leader_dies(engines: Engines) -> None:
    leader, worker = engines.group()
    until(lambda: leader.ask("/health")[0] == 200, "the group serves")
    leader.process.kill()
    time.sleep(0.5)
    assert worker.process.poll() is None
    worker.process.terminate()
    assert worker.process.wait(5) == 0


@pytest.mark.parametrize(
    ("limit", "tokens"), [pytest.param("0", None, id="cut at once"), pytest.param("10", 40, id="finished in time")]
)
def test_sigterm_cuts_or_finishes_what_runs(engines: Engines, limit: str, tokens: int | None) -> None:
    engine = engines.serving("--shutdown-timeout", limit)
    stream = Background(engine, completion(40, stream=True))
    until(lambda: engine.metric("vllm:generation_tokens_total") > 3, "it streams")
    engine.process.send_signal(signal.SIGTERM)
    if tokens:
        until(lambda: engine.ask("/v1/completions", completion())[0] == 500, "new requests are refused")
    assert engine.process.wait(5) == 0
    stream.join()
    lines = stream.answer[1].splitlines()
    assert lines[-2] == "data: [DONE]"
    assert ("error" in lines[-4]) is (tokens is None)


def test_a_client_that_goes_away_frees_its_place(engines: Engines) -> None:
    engine = engines.serving()
    request = urllib.request.Request(
        f"http://127.0.0.1:{engine.port}/v1/completions",
        data=json.dumps(completion(4000, stream=True)).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - loopback
        response.readline()
    until(lambda: engine.metric("vllm:num_requests_running") == 0, "the request is aborted")
    assert 'finished_reason="abort"' in engine.ask("/metrics")[1]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param("serve m --no-such-flag", 2, id="unknown flag"),
        pytest.param("serve m --nnodes two", 2, id="no number"),
        pytest.param("serve m --dtype float8", 2, id="no such choice"),
        pytest.param("serve m -cc.mode=2 --no-such.key 1", 2, id="unknown dotted flag"),
        pytest.param("serve", 2, id="no model"),
        pytest.param("serve m --nnodes 2 --node-rank 1 -tp 2", 1, id="a follower that is not headless"),
        pytest.param("serve m --nnodes 2 -tp 3", 1, id="nodes that do not divide the world"),
    ],
)
def test_bad_flags_end_as_in_vllm(words: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        flags.parse(words.split())
    assert caught.value.code == code
    assert capsys.readouterr().err


def test_spellings_of_flags_are_vllms() -> None:
    words = (
        "serve m --tensor_parallel_size 2 -pp 2 --max-model-len 4k --served-model-name a b -cc.backend eager --seed=1"
    )
    settings = flags.parse(words.split())
    assert (settings.tensor_parallel_size, settings.pipeline_parallel_size) == (2, 2)
    assert (settings.max_model_len, settings.served_names) == (4000, ("a", "b"))
