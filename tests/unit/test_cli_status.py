"""``trireme status`` against an API server that speaks real HTTP: the tree, data, rights, and hostile launchers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from rich.console import Console
from typer.testing import CliRunner, Result

from tests.unit.launchers import document
from trireme_operator.cli.main import app
from trireme_operator.cli.observed import Observed
from trireme_operator.cli.status_tree import tree

Obj = dict[str, Any]
API = "/api/v1/namespaces/genai"
RESOURCE = "/apis/trireme.dev/v1alpha1/namespaces/genai/inferenceclusters/llm"
SETS = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/genai/leaderworkersets"


def ago(hours: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(zone: str, group: int, worker: int, *, ready: bool = True, **status: Any) -> Obj:
    set_name = f"llm-{zone}"
    name = f"{set_name}-{group}" + (f"-{worker}" if worker else "")
    return {
        "metadata": {
            "name": name,
            "namespace": "genai",
            "uid": f"uid-{name}",
            "labels": {
                "trireme.dev/cluster": "llm",
                "trireme.dev/role": "worker" if worker else "leader",
                "leaderworkerset.sigs.k8s.io/name": set_name,
                "leaderworkerset.sigs.k8s.io/group-index": str(group),
                "leaderworkerset.sigs.k8s.io/worker-index": str(worker),
            },
        },
        "spec": {"nodeName": f"node-{worker}"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"name": "engine", "restartCount": 0, "state": {"running": {}}}],
        }
        | status,
    }


def lws(zone: str) -> Obj:
    metadata = {
        "name": f"llm-{zone}",
        "namespace": "genai",
        "labels": {"trireme.dev/cluster": "llm", "trireme.dev/zone": zone},
        "annotations": {"trireme.dev/revision": "llm-6f8a"},
        "ownerReferences": [{"uid": "u"}],
    }
    return {"metadata": metadata}


class Cluster:
    """An API server with one resource of two zones; the first zone serves, the second loads after a failure."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        failed = {
            "group": 0,
            "pod": "llm-b-0-1",
            "cause": "worker 1: OOMKilled (exit 137)",
            "message": "[red]at its limit[/red]",
            "time": ago(5.5),
            "count": 3,
            "nextTry": "2026-01-01T00:10:00Z",
        }
        failing = {"group": 0, "stage": "Loading", "since": ago(5.5), "reason": "worker 1: OOMKilled (exit 137)"}
        failing |= {"fetchedBytes": 3_000_000_000, "totalBytes": 4_000_000_000}
        self.resource: Obj = {
            "metadata": {"name": "llm", "namespace": "genai", "uid": "u", "generation": 1},
            "status": {
                "url": "http://llm/v1",
                "conditions": [{"type": "Ready", "status": "False", "reason": "PodFailing",
                                "message": "zone b, group 0"}],
                "zones": [
                    {"name": "a", "groups": 1, "readyGroups": 1, "weight": 60, "weightReason": "Healthy"},
                    {"name": "b", "groups": 1, "readyGroups": 0, "weight": 0, "weightReason": "NoReadyGroup",
                     "stalled": [failing], "failures": [failed]},
                ],
            },
        }  # fmt: skip
        self.sets = [lws("a"), lws("b")]
        self.pods = [
            pod("a", 0, 0),
            pod("a", 0, 1),
            pod("b", 0, 0, ready=False),
            pod("b", 0, 1, ready=False, containerStatuses=[{"name": "engine", "restartCount": 2}]),
        ]
        self.said: dict[str, Any] = {
            "llm-a-0": document("uid-llm-a-0", stageSince=ago(3.5)),
            "llm-a-0-1": document("uid-llm-a-0-1", stageSince=ago(3.5)),
            "llm-b-0": document(
                "uid-llm-b-0",
                "Loading",
                stageSince=ago(5.5),
                reason="[red]worker 1 is silent[/red]",
                members=[{"index": 1, "state": "Silent", "heartbeatAge": 4.2}],
            ),
            "llm-b-0-1": document(
                "uid-llm-b-0-1",
                "Fetching",
                stageSince=ago(7.5),
                stages=[{"stage": "Fetching", "bytes": 12_000_000_000, "totalBytes": 40_000_000_000}],
                failure={"reason": "EngineKilled", "message": "signal 9", "pod": "llm-b-0-1", "rank": 1},
            ),
        }
        self.refused = False
        self.asked: list[str] = []
        self.patches: list[tuple[dict[str, str], list[Obj]]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked.append(path)
        if path == RESOURCE and not self.resource:
            details = {"kind": "Status", "message": "not found", "details": {"name": "llm"}}
            return web.json_response(details, status=404)
        if request.method == "PATCH":
            self.patches.append((dict(request.query), await request.json()))
            return web.json_response(self.resource)
        stored = {RESOURCE: self.resource, SETS: {"items": self.sets}, f"{API}/pods": {"items": self.pods}}
        if path in stored:
            return web.json_response(stored[path])
        return await self.proxy(request, path)

    async def proxy(self, request: web.Request, path: str) -> web.StreamResponse:
        assert path.endswith(":8001/proxy/statusz"), path
        if self.refused:
            return web.json_response({"kind": "Status", "message": "pods is forbidden", "code": 403}, status=403)
        said = self.said.get(path.removeprefix(f"{API}/pods/").partition(":")[0])
        if said is None:
            return web.json_response({"kind": "Status", "message": "no route to host", "code": 503}, status=503)
        if callable(said):
            answer: web.StreamResponse = await said(request)
            return answer
        return web.json_response(said)

    async def status(self, *arguments: str) -> Result:
        """In a thread: the command runs a loop of its own."""
        return await self.run("status", "llm", *arguments)

    async def run(self, *command: str) -> Result:
        """Any command."""
        return await asyncio.to_thread(CliRunner().invoke, app, [*command, "--kubeconfig", str(self.kubeconfig)])


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    made = Cluster(tmp_path / "kubeconfig")
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "genai"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
    }
    made.kubeconfig.write_text(yaml.safe_dump(config))
    yield made
    await runner.cleanup()


async def test_the_tree_shows_zones_groups_and_pods(cluster: Cluster) -> None:
    done = await cluster.status()
    assert done.exit_code == 0, done.stderr
    lines = [" ".join(line.strip("│├└─ ").split()) for line in done.stdout.splitlines()]
    assert lines == [
        "genai/llm Ready=False (PodFailing): zone b, group 0",
        "zone a 1/1 groups ready, weight 60 (Healthy), llm-6f8a",
        "group 0 ready",
        "llm-a-0 leader node-0 Ready 3h",
        "llm-a-0-1 worker node-1 Ready 3h",
        "zone b 0/1 groups ready, weight 0 (NoReadyGroup), llm-6f8a",
        "group 0 Loading 5h (3 GB of 4 GB): worker 1: OOMKilled (exit 137)",
        "llm-b-0 leader node-0 Loading 5h [red]worker 1 is silent[/red]; worker 1 is Silent, last heard 4s ago",
        "llm-b-0-1 worker node-1 Fetching 7h (12 GB of 40 GB) 2 restarts llm-b-0-1 rank 1: EngineKilled: signal 9",
        "last failures",
        (
            "group 0 5h ago llm-b-0-1 worker 1: OOMKilled (exit 137): [red]at its limit[/red]"
            " failed 3 times; may start at 2026-01-01T00:10:00Z"
        ),
    ]
    assert done.stderr == ""


async def test_as_data_it_is_one_object(cluster: Cluster) -> None:
    done = await cluster.status("-o", "json")
    found = json.loads(done.stdout)
    assert (found["name"], found["namespace"], found["url"]) == ("llm", "genai", "http://llm/v1")
    serving, failing = found["zones"]
    assert (serving["wanted"], serving["ready"], serving["weight"], serving["weightReason"]) == (1, 1, 60, "Healthy")
    assert serving["groups"][0]["ready"] is True
    group = failing["groups"][0]
    assert (group["ready"], group["stage"], group["reason"]) == (False, "Loading", "worker 1: OOMKilled (exit 137)")
    assert (group["fetchedBytes"], group["totalBytes"]) == (3_000_000_000, 4_000_000_000)
    assert serving["failures"] == []
    (failed,) = failing["failures"]
    assert (failed["group"], failed["pod"], failed["cause"]) == (0, "llm-b-0-1", "worker 1: OOMKilled (exit 137)")
    assert (failed["count"], failed["nextTry"], failed["log"]) == (3, "2026-01-01T00:10:00Z", None)
    leader, worker = group["pods"]
    assert leader["launcher"]["lost"] == [{"index": 1, "state": "Silent", "reason": ""}]
    assert (worker["restarts"], worker["node"], worker["launcher"]["bytes"]) == (2, "node-1", 12_000_000_000)
    assert worker["launcher"]["failure"]["rank"] == 1
    as_yaml = await cluster.status("-o", "yaml")
    assert yaml.safe_load(as_yaml.stdout) == found


async def test_without_the_right_to_the_proxy_the_rest_is_shown_and_the_right_is_named(cluster: Cluster) -> None:
    cluster.refused = True
    done = await cluster.status()
    assert done.exit_code == 0
    assert "stage unknown" in done.stdout
    assert done.stdout.count("no right to pods/proxy") == 4
    assert "no right to pods/proxy (get) in namespace genai" in done.stderr
    assert "worker 1: OOMKilled (exit 137)" in done.stdout


async def test_pods_that_run_nothing_yet_are_not_asked_and_tell_why(cluster: Cluster) -> None:
    waiting = {"name": "engine", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    cluster.pods[2]["status"] = {"phase": "Pending", "containerStatuses": [waiting]}
    cluster.pods[3]["status"] = {"phase": "Pending"}
    cluster.pods[3]["spec"] = {}
    done = await cluster.status()
    lines = [" ".join(line.strip("│├└─ ").split()) for line in done.stdout.splitlines()]
    assert lines[-4:-2] == ["llm-b-0 leader node-0 ImagePullBackOff", "llm-b-0-1 worker no node Pending"]
    assert not [path for path in cluster.asked if "llm-b" in path]


async def _redirect(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/api/v1/namespaces/genai/secrets")


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 65_536)


async def _slow(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def test_launchers_that_lie_hang_or_redirect_are_told_and_harm_nobody(cluster: Cluster) -> None:
    cluster.said |= {"llm-a-0": document("uid-of-another"), "llm-a-0-1": _endless}
    cluster.said |= {"llm-b-0": _redirect, "llm-b-0-1": _slow}
    done = await cluster.status("-o", "json")
    assert done.exit_code == 0, done.stderr
    zones = json.loads(done.stdout)["zones"]
    assert [each["unheard"] for zone in zones for each in zone["groups"][0]["pods"]] == [
        "another pod answers at this address",
        "the answer is not JSON",
        "its launcher does not answer",
        "its launcher does not answer",
    ]
    assert not [path for path in cluster.asked if "secrets" in path]


async def test_pods_of_strangers_that_carry_the_label_are_not_shown(cluster: Cluster) -> None:
    stranger = pod("c", 0, 0)
    cluster.pods.append(stranger)
    done = await cluster.status()
    assert "llm-c-0" not in done.stdout
    assert not [path for path in cluster.asked if "llm-c" in path]


async def test_before_the_operator_has_said_anything_there_is_a_tree(cluster: Cluster) -> None:
    del cluster.resource["status"]
    cluster.sets, cluster.pods = [], []
    done = await cluster.status()
    assert done.exit_code == 0
    assert "Ready=Unknown (the operator has not looked at it yet)" in done.stdout


async def test_a_zone_that_is_not_asked_for_any_more_is_shown_while_its_groups_are_there(cluster: Cluster) -> None:
    del cluster.resource["status"]["zones"][1]
    done = await cluster.status()
    assert "zone b  not asked for any more" in done.stdout
    assert "llm-b-0" in done.stdout


async def test_what_is_not_there_is_an_exit_code(cluster: Cluster) -> None:
    cluster.resource = {}
    done = await cluster.status()
    assert (done.exit_code, "not found" in done.stderr) == (3, True)


async def test_a_watch_writes_each_change_once_and_ends_with_the_resource(cluster: Cluster) -> None:
    command = [sys.executable, "-m", "trireme_operator.cli.main", "status", "llm", "--watch", "-o", "json"]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "PYTHONPATH": "operator:."}
    watching = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert watching.stdout is not None
    assert watching.stderr is not None
    async with asyncio.timeout(60):
        first = json.loads(await watching.stdout.readline())
        cluster.said["llm-b-0"] = document("uid-llm-b-0", "Failed", reason="gone")
        second = json.loads(await watching.stdout.readline())
        cluster.resource = {}
        assert await watching.stdout.read() == b"", "nothing else has changed"
        assert await watching.wait() == 3
        assert b"not found" in await watching.stderr.read()
    stages = [each["zones"][1]["groups"][0]["pods"][0]["launcher"]["stage"] for each in (first, second)]
    assert stages == ["Loading", "Failed"]


def test_a_hold_a_stall_a_canary_and_a_preflight_are_remarks() -> None:
    from trireme_operator.cli.observed import Group, Pod, Zone  # noqa: PLC0415
    from trireme_operator.collector import parse  # noqa: PLC0415

    said = document(
        "uid-llm-a-0",
        "Held",
        held={"until": "2026-01-01T00:10:00Z", "failures": 5, "cause": "EngineKilled"},
        stalled={"since": "2026-01-01T00:00:00Z", "running": 1},
        canary={"passed": False, "reason": "HTTP 500"},
        preflight={"checks": [{"name": "dns", "passed": False, "reason": "no such name"}]},
    )
    heard = parse(json.dumps(said).encode(), pod_uid="uid-llm-a-0")
    group = Group(0, (Pod(pod("a", 0, 0, ready=False), heard, ""),), None)
    raw: Obj = {"metadata": {"name": "llm", "namespace": "genai"}}
    console = Console(width=400)
    with console.capture() as captured:
        console.print(tree(Observed(raw, (Zone("", {"groups": 1}, "", (group,)),)), datetime.now(UTC)))
    text = captured.get()
    for part in (
        "all zones  0/1 groups ready",
        "group 0  not ready",
        "held until 2026-01-01T00:10:00Z after 5 failures: EngineKilled",
        "stalled since 2026-01-01T00:00:00Z",
        "the canary failed: HTTP 500",
        "preflight dns: no such name",
    ):
        assert part in text
