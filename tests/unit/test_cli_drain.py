"""``trireme drain``, ``undrain`` and ``rollout`` against an API server that speaks real HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.launchers import document
from tests.unit.test_cli_status import Cluster, cluster
from trireme_operator.cli.drain import what_is_missing
from trireme_operator.cli.rollout import paused_spec, summary

__all__ = ["cluster"]

Obj = dict[str, Any]
DRAIN = "/metadata/annotations/drain.trireme.dev~1a"


@pytest.fixture
def two(cluster: Cluster) -> Cluster:
    """Both zones serve, and launchers count what runs."""
    cluster.resource["spec"] = {
        "model": {"source": "hf://a/b"},
        "engine": {"config": {"maxNumSeqs": 8}},
        "zones": [{"name": "a", "weight": 60}, {"name": "b", "weight": 40}],
    }
    cluster.resource["metadata"]["annotations"] = {}
    zones = cluster.resource["status"]["zones"]
    zones[1] |= {"readyGroups": 1, "weight": 40, "weightReason": "Healthy"}
    for pod in cluster.pods:
        pod["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    say(cluster, a=3, b=3)
    return cluster


def say(cluster: Cluster, **requests: int) -> None:
    for zone, count in requests.items():
        name = f"llm-{zone}-0"
        said = document(f"uid-{name}")
        cluster.said[name] = said | {"engine": {**said["engine"], "requests": count}}


async def test_a_drain_is_an_annotation_with_a_manager_of_its_own(two: Cluster) -> None:
    done = await two.run("drain", "llm", "a", "--yes")
    assert done.exit_code == 0, done.stderr
    ((query, operations),) = two.patches
    assert query["fieldManager"] == "trireme-cli"
    assert operations[-1] == {"op": "add", "path": DRAIN, "value": "Draining"}
    assert [each["path"] for each in operations[:-1]] == ["/metadata/uid", "/metadata/generation"]
    assert "trireme undrain takes it back" in done.stderr


async def test_a_drain_of_a_zone_that_there_is_not_names_those_that_there_are(two: Cluster) -> None:
    done = await two.run("drain", "llm", "c", "--yes")
    assert (done.exit_code, two.patches) == (1, [])
    assert "llm has no zone c: its zones are a, b" in done.stderr


async def test_a_drain_that_the_others_could_not_bear_shows_the_sum_and_can_be_forced(two: Cluster) -> None:
    say(two, a=6, b=7)
    done = await two.run("drain", "llm", "a", "--yes")
    assert (done.exit_code, two.patches) == (1, [])
    assert "13 requests run and wait in zones a, b, and without a there is room for 8: 1 groups in b x 8" in done.stderr
    done = await two.run("drain", "llm", "a", "--yes", "--force")
    assert done.exit_code == 0, done.stderr
    assert two.patches[0][1][-1]["value"] == "Forced"


@pytest.mark.parametrize("wrong", [{"readyGroups": 0}, {"weight": 0}], ids=str)
async def test_without_survivors_there_is_no_drain(two: Cluster, wrong: Obj) -> None:
    two.resource["status"]["zones"][1] |= wrong
    done = await two.run("drain", "llm", "a", "--yes")
    assert (done.exit_code, two.patches) == (1, [])
    assert "no other zone has a ready group that takes traffic" in done.stderr


async def test_a_drain_that_was_asked_for_already_is_not_asked_for_again(two: Cluster) -> None:
    two.resource["metadata"]["annotations"] = {"drain.trireme.dev/a": "Draining"}
    done = await two.run("drain", "llm", "a", "--yes")
    assert (done.exit_code, two.patches) == (0, [])
    assert "asked for already" in done.stderr


async def test_a_drain_is_waited_for(two: Cluster) -> None:
    two.resource["status"]["zones"][0] |= {"drain": "Drained", "groups": 0}
    done = await two.run("drain", "llm", "a", "--yes", "--timeout", "2")
    assert done.exit_code == 0
    assert "Zone a is drained" in done.stderr
    two.resource["status"]["zones"][0] |= {"drain": "Waiting", "message": "draining: 2 requests"}
    done = await two.run("drain", "llm", "a", "--yes", "--timeout", "2")
    assert done.exit_code == 1
    assert "after 2 s zone a is not there yet: draining: 2 requests" in done.stderr


async def test_the_tree_says_how_far_a_drain_is(two: Cluster) -> None:
    two.resource["status"]["zones"][0] |= {"drain": "Waiting", "message": "draining: 2 requests that still run"}
    done = await two.status()
    assert "weight 60 (Healthy), llm-6f8a; draining: 2 requests that still run" in " ".join(done.stdout.split())
    assert json.loads((await two.status("-o", "json")).stdout)["zones"][0]["drain"] == "Waiting"


@pytest.mark.parametrize(
    ("status", "drained", "want"),
    [
        ({}, True, "the operator has not taken it up yet"),
        ({"drain": "Drained"}, True, None),
        ({"drain": "Drained"}, False, "the operator has not taken it up yet"),
        ({"groups": 2, "readyGroups": 1}, False, "1 of 2 groups are ready"),
        ({"groups": 2, "readyGroups": 2, "weightPercent": 40}, False, "it has 40 % of its traffic"),
        ({"groups": 2, "readyGroups": 2}, False, None),
    ],
)
def test_what_a_wait_still_waits_for(status: Obj, drained: bool, want: str | None) -> None:
    assert what_is_missing(status, drained=drained) == want


async def test_an_undrain_takes_the_annotation_away(two: Cluster) -> None:
    two.resource["metadata"]["annotations"] = {"drain.trireme.dev/a": "Forced"}
    done = await two.run("undrain", "llm", "a")
    assert done.exit_code == 0, done.stderr
    assert two.patches[0][1][-1] == {"op": "remove", "path": DRAIN}


async def test_an_undrain_says_where_the_drain_comes_from(two: Cluster) -> None:
    done = await two.run("undrain", "llm", "a")
    assert (done.exit_code, two.patches) == (1, [])
    assert "nothing drains zone a of llm" in done.stderr
    two.resource["spec"]["zones"][0]["state"] = "Draining"
    done = await two.run("undrain", "llm", "a")
    assert "spec.zones says Draining for zone a: set its state to Active there" in done.stderr


async def test_a_rollout_is_paused_and_goes_on(two: Cluster) -> None:
    done = await two.run("rollout", "pause", "llm")
    assert done.exit_code == 0, done.stderr
    query, operations = two.patches[0]
    assert query["fieldManager"] == "trireme-cli"
    assert operations[-1] == {"op": "add", "path": "/spec/rollout", "value": {"paused": True}}
    assert (await two.run("rollout", "resume", "llm")).exit_code == 1
    two.resource["spec"]["rollout"] = {"paused": True, "strategy": "AllZones"}
    assert (await two.run("rollout", "pause", "llm")).exit_code == 1
    two.patches.clear()
    await two.run("rollout", "resume", "llm")
    assert two.patches[0][1][-1] == {"op": "add", "path": "/spec/rollout", "value": {"strategy": "AllZones"}}


def test_a_rollout_that_says_nothing_any_more_goes() -> None:
    assert paused_spec({"a": 1, "rollout": {"paused": True}}, paused=False) == {"a": 1}


def told(reason: str, status: str = "True", *, current: bool = False, seen: int = 1) -> Obj:
    zone = {"name": "a", "groups": 1, "readyGroups": 1, "weight": 1, "revision": "llm-2" if current else "llm-1"}
    progressing = {"type": "Progressing", "status": status, "reason": reason, "message": "words"}
    status_ = {"observedGeneration": seen, "revision": "llm-2", "conditions": [progressing], "zones": [zone]}
    return {"metadata": {"generation": 1}, "status": status_}


@pytest.mark.parametrize(
    ("raw", "phase"),
    [
        pytest.param(told("RollingOut"), "Progressing", id="under way"),
        pytest.param(told("Stable", "False", current=True), "Done", id="done"),
        pytest.param(told("Stable", "False"), "Progressing", id="a zone is behind"),
        pytest.param(told("Starting", current=True), "Progressing", id="not ready"),
        pytest.param(told("RolloutPaused", "False"), "Paused", id="paused"),
        pytest.param(told("ProgressDeadlineExceeded", "False"), "Stopped", id="stopped"),
        pytest.param(told("Stable", "False", current=True, seen=0), "Pending", id="not seen yet"),
    ],
)
def test_the_phase_of_a_rollout(raw: Obj, phase: str) -> None:
    assert summary(raw)["phase"] == phase


async def test_the_status_of_a_rollout_and_its_exit_code(two: Cluster) -> None:
    two.resource |= {"status": told("ProgressDeadlineExceeded", "False")["status"]}
    done = await two.run("rollout", "status", "llm")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "Stopped: words"
    assert done.stdout.splitlines()[1].split() == ["a", "llm-1", "no", "1/1", "1", "-"]
    two.resource |= {"status": told("Stable", "False", current=True)["status"]}
    done = await two.run("rollout", "status", "llm", "--timeout", "10", "-o", "json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)[0]["zones"][0]["current"] is True
    two.resource |= {"status": told("RollingOut")["status"]}
    assert (await two.run("rollout", "status", "llm")).exit_code == 0
    assert (await two.run("rollout", "status", "llm", "--timeout", "2")).exit_code == 1
