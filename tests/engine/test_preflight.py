"""Preflights over real torch process groups (gloo): what is measured, and that the bad node or link is named.

``TRIREME_ENGINE_PYTHON`` names a Python that has torch, for example scripts/engine-python.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

import build_zipapp

HERE = Path(__file__).parent
WARN = {"TRIREME_PREFLIGHT": "Warn", "TRIREME_NODE_NAME": "node-7"}
LIMITED = {**WARN, "TRIREME_PREFLIGHT": "Enforce", "TRIREME_PREFLIGHT_MIN_BANDWIDTH": "60000"}
"""In GB/s: more than any memory has, and so more than loopback."""

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def prove(folder: Path, **case: Any) -> dict[str, Any]:
    python = os.environ.get("TRIREME_ENGINE_PYTHON")
    assert python, "set TRIREME_ENGINE_PYTHON to a Python that has torch"
    build_zipapp.build(folder / "runtime.pyz")
    case["runtime"] = base64.b64encode(zlib.compress((folder / "runtime.pyz").read_bytes())).decode()
    argv = [python, str(HERE / "prove.py"), json.dumps(case)]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:] + result.stdout[-4000:]
    found: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    assert found["left"] == 0, "processes outlive the preflight"
    return found


def by_name(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [check for check in found["report"]["checks"] if check["name"] == name]


def test_every_pair_of_pods_and_all_ranks_are_measured(tmp_path: Path) -> None:
    found = prove(tmp_path, pods=[WARN] * 3, perPod=2)
    assert [check for check in found["report"]["checks"] if not check["passed"]] == []
    assert found["report"]["passed"] is True
    links = {(check["pod"], check["peer"]) for check in by_name(found, "pairwise")}
    assert links == {("g-0", "g-0-1"), ("g-0", "g-0-2"), ("g-0-1", "g-0-2")}
    assert all(check["value"] > 0 and check["latencyMicroseconds"] > 0 for check in by_name(found, "pairwise"))
    (collective,) = by_name(found, "allReduce")
    assert (collective["pod"], collective["unit"]) == ("g-0", "GB/s")
    assert collective["value"] > 0
    assert found["processes"] == [1, 1, 1], "the engine alone"


def test_the_ranks_of_one_pod_are_measured_without_links(tmp_path: Path) -> None:
    found = prove(tmp_path, pods=[WARN], perPod=2)
    assert [check["name"] for check in found["report"]["checks"]] == ["allReduce"]


def test_a_link_below_the_limit_is_named_and_no_engine_starts(tmp_path: Path) -> None:
    found = prove(tmp_path, pods=[LIMITED] * 2, perPod=1)
    assert not found["started"]
    assert found["cause"]["reason"] == "PreflightFailed"
    assert "pairwise of g-0 on node node-7 to g-0-1: " in found["cause"]["message"]
    assert "GB/s, and at least 60000 are asked for" in found["cause"]["message"]


@pytest.mark.parametrize("frozen", [1, 2])
def test_a_link_that_hangs_is_named_within_its_time(tmp_path: Path, frozen: int) -> None:
    found = prove(tmp_path, frozen=frozen)
    (hung,) = [check for check in found["checks"] if not check["passed"]]
    assert (hung["name"], hung["pod"], hung["peer"]) == ("pairwise", "g-0", f"g-0-{frozen}")
    assert "within 10 s" in hung["reason"]
    assert found["seconds"] < 60
