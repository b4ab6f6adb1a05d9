"""Log lines: one JSON object an event, of our own and of libraries."""

import ast
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from tests.unit.controller_samples import resource
from tests.unit.fake_kube import FakeKube, error
from tests.unit.stores import filled
from trireme_operator.controller import workers
from trireme_operator.controller.metrics import Metrics
from trireme_operator.controller.queue import Key, KeyedQueue
from trireme_operator.controller.reconcile import Reconciler
from trireme_operator.controller.recording import RecordingApi
from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET
from trireme_operator.logs import configure_logs
from trireme_operator.rendering import Settings


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_every_line_is_json_with_the_reconciles_keys(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    with structlog.contextvars.bound_contextvars(namespace="genai", name="llm", reconcileID="1"):
        structlog.get_logger("ours").info("Applying child", child="llm-http")
        logging.getLogger("theirs").warning("hello %s", "there")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (ours["event"], ours["child"], ours["level"]) == ("Applying child", "llm-http", "info")
    assert (theirs["event"], theirs["logger"]) == ("hello there", "theirs")
    for line in (ours, theirs):
        assert (line["namespace"], line["name"], line["reconcileID"]) == ("genai", "llm", "1")
        assert line["timestamp"].endswith("Z")


def test_an_error_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        structlog.get_logger("ours").exception("Operator ended")
    (line,) = capsys.readouterr().out.splitlines()
    assert "ZeroDivisionError" in json.loads(line)["exception"]


def test_people_get_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("console")
    structlog.get_logger("ours").info("Starting")
    assert "Starting" in capsys.readouterr().out


CANARY = "s3cr3t-canary"


async def test_each_line_of_a_reconcile_is_bound_to_it_and_tells_an_action_before_it_is_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Creation, repair of a foreign edit, a call that fails: by the worker, as in the process."""
    configure_logs("json")
    kube, queue = FakeKube(), KeyedQueue()
    kube.add(INFERENCE_CLUSTER, resource(podTemplate=_with_environment(CANARY)))
    ids = set()
    for disturb in (_nothing, _edit, _break):
        disturb(kube)
        queue.add(Key("genai", "llm"))
        store = await filled(kube)
        reconciler = Reconciler(RecordingApi(kube, store), store, Settings(launcher_image="x"), clock=_now)
        await workers._run(await queue.get(), queue, reconciler.reconcile, Metrics(queue))
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert lines
        for line in lines:
            assert (line["namespace"], line["name"]) == ("genai", "llm")
            assert line["event"].split()[0].endswith("ing") or line["level"] == "warning", line["event"]
            assert not line["event"].endswith(".")
            assert CANARY not in json.dumps(line)
        assert len({line["reconcileID"] for line in lines}) == 1
        ids.add(lines[0]["reconcileID"])
    assert len(ids) == 3, "each run has an id of its own"
    assert lines[-1]["event"] == "Reconcile failed"
    assert "boom" in lines[-1]["reason"]


def _with_environment(value: str) -> dict[str, object]:
    return {"spec": {"containers": [{"name": "engine", "env": [{"name": "API_KEY", "value": value}]}]}}


def _now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def _nothing(_: FakeKube) -> None:
    pass


def _edit(kube: FakeKube) -> None:
    template = kube.one(LEADER_WORKER_SET, "llm-zone-a")["spec"]["leaderWorkerTemplate"]["workerTemplate"]
    template["spec"]["containers"][0]["env"] = []


def _break(kube: FakeKube) -> None:
    _edit(kube)
    kube.fail = lambda verb, kind, name: error(500) if (verb, kind) == ("apply", LEADER_WORKER_SET) else None


SOURCES = sorted((Path(__file__).parents[2] / "operator" / "trireme_operator").rglob("*.py"))
LEVELS = frozenset({"debug", "info", "warning", "error", "exception"})


def _log_calls() -> Iterator[tuple[str, ast.Call]]:
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _logs(node.func):
                yield f"{file.name}:{node.lineno}", node


def _logs(function: ast.Attribute) -> bool:
    return function.attr in LEVELS and "log" in ast.unparse(function.value)


def test_every_message_is_fixed_and_its_values_are_keys() -> None:
    """So that lines can be counted and searched by their message."""
    calls = list(_log_calls())
    assert len(calls) > 10
    for where, call in calls:
        text = call.args[0]
        assert len(call.args) == 1, where
        assert isinstance(text, ast.Constant), f"{where}: a message is a constant, values are keys"
        assert isinstance(text.value, str), where
        assert text.value[0].isupper(), where
        assert not text.value.endswith("."), where
        for key in call.keywords:
            assert key.arg is not None, where
            assert re.fullmatch(r"[a-z][A-Za-z_]*", key.arg), f"{where}: {key.arg}"
