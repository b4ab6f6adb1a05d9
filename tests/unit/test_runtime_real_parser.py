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
from tests.golden import engine_commands
from tests.unit.pod_environment import POD
from trireme_runtime import command, limits
from trireme_runtime.environment import Balancing

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


BASE = ["vllm", "serve", "/models/m", "--served-model-name", "m", "--port", "8000", "--max-model-len", "8192"]


REPLICAS = {"tensor_parallel_size": 8, "pipeline_parallel_size": 1, "expert_parallel": True}
REPLICA_EACH = {**REPLICAS, "data_parallel_size": 2}
TWO_EACH = {**REPLICAS, "data_parallel_size": 4, "ranks_per_pod": 16}
LEADER = "m-zone-a-0.m-zone-a.ns"
JOINED = {
    "tensor_parallel_size": 8,
    "enable_expert_parallel": True,
    "data_parallel_address": LEADER,
    "data_parallel_rpc_port": 29550,
    "distributed_timeout_seconds": 1800,
}
WORKERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        REPLICA_EACH,
        JOINED
        | {"data_parallel_size": 2, "data_parallel_size_local": 1, "data_parallel_start_rank": 1, "headless": True},
    ),
    (
        {**TWO_EACH, "balancing": Balancing.HYBRID},
        JOINED
        | {
            "data_parallel_size": 4,
            "data_parallel_size_local": 2,
            "data_parallel_start_rank": 2,
            "data_parallel_hybrid_lb": True,
            "headless": False,
        },
    ),
    (
        {**REPLICA_EACH, "balancing": Balancing.EXTERNAL},
        JOINED | {"data_parallel_size": 2, "data_parallel_rank": 1, "headless": False},
    ),
    (
        {**REPLICA_EACH, "ranks_per_pod": 4, "group_size": 4},
        JOINED | {"data_parallel_size": 2, "nnodes": 4, "node_rank": 1, "master_addr": LEADER, "headless": True},
    ),
]
"""The second pod of groups with replicas: its environment, and what vLLM is meant to read."""


def launcher_command(index: int, **pod: Any) -> list[str]:
    times = limits.of_grace(grace_seconds=120, settle_seconds=5)
    return command.engine_command(BASE, replace(POD, worker_index=index, pod_ip="10.0.0.9", **pod), times)


def written_down() -> list[tuple[str, dict[str, Any]]]:
    """Leader and last pod of each layout, as they stand in the golden files for the installed version."""
    found = []
    for layout in engine_commands.LAYOUTS:
        pods = json.loads(engine_commands.path("0.32.0", layout).read_text())["pods"]
        found += [(f"{layout}, {number}", pods[number]) for number in sorted({0, len(pods) - 1})]
    return found


def commands() -> list[list[str]]:
    found = [launcher_command(0), launcher_command(1), *(launcher_command(1, **pod) for pod, _ in WORKERS)]
    found += [pod["argv"] for _, pod in written_down()]
    return [words[1:] for words in found]


@pytest.fixture(scope="module")
def real() -> tuple[str, list[dict[str, Any]]]:
    """Asked once, as importing vLLM takes its time: the parser's flags, and what it makes of the launcher's commands.

    vLLM logs to standard output as well, before.
    """
    python = os.environ.get("TRIREME_ENGINE_PYTHON")
    assert python, "set TRIREME_ENGINE_PYTHON to the Python of an environment with vLLM"
    script = Path(flags.__file__).with_name("read_parser.py")
    argv = [python, str(script), json.dumps(commands())]
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


@pytest.mark.parametrize("case", range(len(WORKERS)), ids=["internal", "hybrid", "external", "replicas over pods"])
def test_vllm_reads_the_command_of_replicas_as_it_was_meant(real: tuple[str, list[dict[str, Any]]], case: int) -> None:
    seen, want = real[1][2 + case], WORKERS[case][1]
    assert {name: seen.get(name) for name in want} == want


def test_vllm_reads_every_command_that_is_written_down_as_it_is_written_there(
    real: tuple[str, list[dict[str, Any]]],
) -> None:
    expected = written_down()
    for (name, pod), seen in zip(expected, real[1][-len(expected) :], strict=True):
        # Numbers that are no whole ones are not printed.
        want = {dest: str(value) for dest, value in pod["reads"].items() if dest != "gpu_memory_utilization"}
        assert {dest: str(seen.get(dest)) for dest in want} == want, name
