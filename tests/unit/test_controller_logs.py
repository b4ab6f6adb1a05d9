"""Log lines: one JSON object an event, of our own and of libraries."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from trireme_operator.controller.logs import configure_logs


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
