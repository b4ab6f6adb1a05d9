"""The command line and the model: its config.json, its memory, its verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.unit.models import SMOLLM2
from tests.unit.resources import raw
from trireme_operator.cli.main import app

RUN = CliRunner()
SMOL = {"source": "/models/smollm2"}


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SMOLLM2))
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(**spec: Any) -> str:
        path = tmp_path / "llm.yaml"
        path.write_text(yaml.safe_dump(raw("llm", **spec)))
        return str(path)

    return write


def test_the_plan_has_bytes_for_programs(file: Any, config: str) -> None:
    spec = {"parallelism": {"tensor": 3}, "engine": {"config": {"maxModelLen": 2048, "maxNumSeqs": 4}}}
    done = RUN.invoke(
        app, ["plan", file(model=SMOL, **spec), "--model-config", config, "--accelerator-memory", "16Gi", "-o", "json"]
    )
    assert done.exit_code == 0, done.stderr
    memory = json.loads(done.stdout)[0]["memory"]
    (stage,) = memory["stages"]
    assert memory["known"] is memory["estimate"] is True
    assert (memory["verdict"], memory["device"], memory["sequences"]) == ("Fits", 16 * 1024**3, 4)
    assert stage["kvToken"] == 30 * 2 * 64 * 2
    assert stage["kvWanted"] == 4 * stage["kvSequence"] == 4 * 2048 * stage["kvToken"]
    assert stage["kvRoom"] == memory["budget"] - stage["weights"] - stage["activations"]


def test_the_plan_says_that_it_estimates(file: Any, config: str) -> None:
    done = RUN.invoke(app, ["plan", file(model=SMOL, parallelism={"pipeline": 2}), "--model-config", config])
    assert done.exit_code == 0
    for word in ("estimates, not measured", "no verdict", "unknown", "--accelerator-memory"):
        assert word in done.stdout


def test_a_plan_without_dimensions_says_what_is_missing(file: Any) -> None:
    done = RUN.invoke(app, ["plan", file(model=SMOL)])
    assert "memory of a rank: not estimated: nothing is known of the model" in done.stdout
    data = RUN.invoke(app, ["plan", file(model=SMOL), "-o", "json"])
    assert json.loads(data.stdout)[0]["memory"]["known"] is False


@pytest.mark.parametrize("command", ["plan", "render --launcher-image x"])
def test_nothing_is_planned_or_rendered_of_what_the_operator_would_refuse(file: Any, command: str) -> None:
    path = file(parallelism={"tensor": 3})
    done = RUN.invoke(app, [*command.split(), path])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "spec.parallelism.tensor: 3 can not cut this model" in done.stderr


def test_validate_gives_the_operators_verdict_on_the_model(file: Any, config: str) -> None:
    path = file(model=SMOL, parallelism={"tensor": 2})
    assert RUN.invoke(app, ["validate", path]).exit_code == 0
    done = RUN.invoke(app, ["validate", path, "--model-config", config, "-o", "json"])
    assert done.exit_code == 1
    (finding,) = json.loads(done.stdout)[0]["findings"]
    assert (finding["path"], finding["rule"]) == ("spec.parallelism.tensor", "accepted")
    assert "What works: 1, 3" in finding["message"]


def test_validate_warns_of_what_is_taken_all_the_same(file: Any) -> None:
    done = RUN.invoke(app, ["validate", file(accelerator={"memory": "17Gi"})])
    assert done.exit_code == 0
    assert "by an estimate the engine will not start" in done.stderr


def test_a_config_map_can_not_be_read_here_which_is_said(file: Any, config: str) -> None:
    path = file(model=SMOL | {"config": {"configMap": "smollm2"}})
    assert (
        "by ConfigMap smollm2: give the same config.json with --model-config" in RUN.invoke(app, ["plan", path]).stderr
    )
    assert RUN.invoke(app, ["plan", path, "--model-config", config]).stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model-config", "/nowhere"], "/nowhere"),
        (["--model-config", __file__], "no JSON"),
        (["--accelerator-memory", "80 GB"], "80 GB is no quantity"),
    ],
)
def test_options_that_can_not_be_read_end_with_2(file: Any, arguments: list[str], message: str) -> None:
    done = RUN.invoke(app, ["plan", file(), *arguments])
    assert done.exit_code == 2
    assert message in done.stderr


def test_ranks_on_the_processor_get_no_verdict(file: Any, config: str) -> None:
    done = RUN.invoke(app, ["plan", file(model=SMOL, accelerator={"resource": "cpu"}), "--model-config", config])
    assert "no verdict: ranks run on the processor" in done.stdout


def test_a_processor_has_no_device_memory(file: Any) -> None:
    done = RUN.invoke(app, ["plan", file(accelerator={"resource": "cpu"}), "--accelerator-memory", "80Gi"])
    assert done.exit_code == 2
    assert "have none" in done.stderr
