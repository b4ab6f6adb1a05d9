"""The installed vLLM's own parser: over the launcher's command lines, and against the double's flags.

``TRIREME_ENGINE_PYTHON`` names a Python that has vLLM, for example the one of the engine image.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.double import flags
from tests.unit.pod_environment import POD
from trireme_runtime import command, limits

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


BASE = ["vllm", "serve", "/models/m", "--served-model-name", "m", "--port", "8000", "--max-model-len", "8192"]


def launcher_command(index: int) -> list[str]:
    times = limits.of_grace(grace_seconds=120, settle_seconds=5)
    return command.engine_command(BASE, replace(POD, worker_index=index, pod_ip="10.0.0.9"), times)


@pytest.fixture(scope="module")
def real() -> tuple[str, list[dict[str, Any]]]:
    """Asked once, as importing vLLM takes its time: the parser's flags, and what it makes of the launcher's commands.

    vLLM logs to standard output as well, before.
    """
    python = os.environ.get("TRIREME_ENGINE_PYTHON")
    assert python, "set TRIREME_ENGINE_PYTHON to the Python of an environment with vLLM"
    script = Path(flags.__file__).with_name("read_parser.py")
    argv = [python, str(script), json.dumps([launcher_command(index)[1:] for index in (0, 1)])]
    environment = {**os.environ, "VLLM_NO_USAGE_STATS": "1"}
    text = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    document, end, parsed = text[text.index('{\n "source"') :].partition("\n}\n")
    return document + end, [json.loads(line) for line in parsed.splitlines() if line.startswith("{")]


def test_the_doubles_flags_are_those_of_the_installed_vllm(real: tuple[str, list[dict[str, Any]]]) -> None:
    assert real[0] == flags.SNAPSHOT.read_text()


@pytest.mark.parametrize("index", [0, 1])
def test_vllm_reads_the_launchers_command_as_it_was_meant(real: tuple[str, list[dict[str, Any]]], index: int) -> None:
    seen = real[1][index]
    want = {
        "model_tag": "/models/m",
        "port": 8000,
        "max_model_len": 8192,
        "tensor_parallel_size": 8,
        "pipeline_parallel_size": 2,
        "nnodes": 2,
        "node_rank": index,
        "master_addr": "m-zone-a-0.m-zone-a.ns" if index else "10.0.0.9",
        "master_port": 29501,
        "distributed_executor_backend": "mp",
        "distributed_timeout_seconds": 1800,
        "disable_access_log_for_endpoints": None if index else "/health,/metrics",
        "shutdown_timeout": 10,
        "headless": bool(index),
    }
    assert {name: seen.get(name) for name in want} == want
