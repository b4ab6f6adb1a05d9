"""What the metrics path costs: one metrics server, many leaders, and autoscalers that ask."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from bench import allocator
from bench.figures import Figure, percentile, spread
from bench.leaders import GROUPS, leader, pod_address, zone
from bench.process import processor_seconds, resident_mb
from bench.stage import OURS, Stage, at_once, staged
from scripts import chart
from tests.integration.metrics_stage import METRICS, NAME, MetricsServer, free_port, install, machine_address
from tests.integration.server import Hands, connected
from trireme_operator.kube import API_SERVICE, CLUSTER_ROLE, POD, SECRET, SERVICE_ACCOUNT
from trireme_operator.metricsapi.identity import decoded
from trireme_operator.rendering.api_service import CA_KEY, METRICS_PATH, api_service

ASKED = 500
_WATCHED_SECONDS = 30.0
_PAUSE_SECONDS = 0.02
_LIMIT_SECONDS = 120.0

AskFn = Callable[[str], Awaitable[int]]
"""Asks for one zone; returns how many values came."""


async def measure(*, leaders: int) -> list[Figure]:
    """One server from its start until it has been watched for half a minute; all its figures."""
    launchers, port = free_port(), free_port()
    async with staged() as stage, connected(stage.plane.kubeconfig) as hands:
        await install(hands, machine_address(), port)
        await _pods(stage, leaders)
        account = f"system:serviceaccount:{chart.NAMESPACE}:{NAME}"
        user, log = stage.plane.client(NAME, common_name=account), stage.folder / "metrics.log"
        more = {"BENCH_LAUNCHERS_PORT": str(launchers), **allocator.install()}
        server = MetricsServer(user, log, port=port, module="bench.metrics_process", **more)
        with _launchers(launchers):
            server.start()
            try:
                return await _figures(stage, hands, server, launchers, leaders)
            finally:
                server.kill()


async def _figures(stage: Stage, hands: Hands, server: MetricsServer, launchers: int, leaders: int) -> list[Figure]:
    pid, zones = server.pid, sorted({zone(number) for number in range(leaders)})
    authorities = await _registered(hands)
    async with _front_proxy(stage, authorities, server.port) as ask:
        started = time.monotonic()
        await _until_all(ask, zones, leaders)
        first = time.monotonic() - started
        await _counts(launchers)
        before, reads, began = processor_seconds(pid), (await _counts(launchers))["reads"], time.monotonic()
        direct = await _asked(ask, zones)
        await asyncio.sleep(max(0.0, _WATCHED_SECONDS - (time.monotonic() - began)))
        counted, took = await _counts(launchers), time.monotonic() - began
        used = processor_seconds(pid) - before
        memory = resident_mb(pid)
    through = await _asked(_through(hands), zones)
    details = {"through_the_api_server": spread(through), "asked": ASKED, "groups_of_a_zone": GROUPS}
    reading = {"at_once_at_most": counted["at_once"], "until_all_were_read_s": round(first, 1)}
    return [
        Figure("metrics_answer_p99_seconds", percentile(direct, 99), leaders, spread(direct) | details),
        Figure("metrics_rss_mb", memory, leaders),
        Figure("metrics_processor_share", used / took, leaders, {"over_s": round(took, 1)}),
        Figure("metrics_reads_per_second", (counted["reads"] - reads) / took, leaders, reading),
    ]


async def _pods(stage: Stage, leaders: int) -> None:
    """The leaders' pods, as LeaderWorkerSet and a kubelet would have brought them about."""
    await stage.client.create(SERVICE_ACCOUNT, {"metadata": {"name": "default", "namespace": OURS}})

    async def make(number: int) -> None:
        lws, name = "leaderworkerset.sigs.k8s.io/", leader(number)
        labels = {
            "trireme.dev/cluster": "llm",
            f"{lws}name": zone(number),
            f"{lws}group-index": str(number % GROUPS),
            f"{lws}worker-index": "0",
        }
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": zone(number), "uid": "x", "controller": True}
        metadata = {"name": name, "namespace": OURS, "labels": labels, "ownerReferences": [owner]}
        await stage.client.create(
            POD, {"metadata": metadata, "spec": {"containers": [{"name": "engine", "image": "x"}]}}
        )
        address = pod_address(number)
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        await stage.client.merge(POD.path(OURS, name, "status"), {"status": status})

    await at_once(make(number) for number in range(leaders))


async def _registered(hands: Hands) -> str:
    """Register the server when its certificate is there; returns the authorities."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not (data := decoded(await hands.api.get(SECRET, METRICS.namespace, METRICS.name))):
        if time.monotonic() > deadline:
            raise TimeoutError("the metrics server has made no certificate")
        await asyncio.sleep(0.1)
    role = await hands.api.get(CLUSTER_ROLE, "", METRICS.name)
    wanted = api_service(METRICS, authorities=data[CA_KEY], owner_uid=role["metadata"]["uid"])
    await hands.api.apply(API_SERVICE, wanted, manager="bench")
    return data[CA_KEY]


def _path(name: str) -> str:
    selector = f"leaderworkerset.sigs.k8s.io%2Fname%3D{name}%2Cleaderworkerset.sigs.k8s.io%2Fworker-index%3D0"
    return f"{METRICS_PATH}/namespaces/{OURS}/pods/%2A/inference_queue_length?labelSelector={selector}"


@asynccontextmanager
async def _front_proxy(stage: Stage, authorities: str, port: int) -> AsyncIterator[AskFn]:
    """Asks as the API server does: with its certificate, over a connection that is kept."""
    context = ssl.create_default_context(cadata=authorities)
    pair = stage.plane.pki / "front-proxy-client.crt"
    context.load_cert_chain(pair, pair.with_suffix(".key"))
    async with aiohttp.ClientSession() as session:

        async def ask(name: str) -> int:
            url = URL(f"https://127.0.0.1:{port}{_path(name)}", encoded=True)
            async with session.get(url, ssl=context, server_hostname=METRICS.host) as response:
                response.raise_for_status()
                return len((await response.json())["items"])

        yield ask


def _through(hands: Hands) -> AskFn:
    async def ask(name: str) -> int:
        found = await hands.api._call("GET", API_SERVICE, _path(name), is_object=False)  # noqa: SLF001 - a raw path
        return len(found["items"])

    return ask


async def _until_all(ask: AskFn, zones: list[str], leaders: int) -> None:
    deadline = time.monotonic() + _LIMIT_SECONDS
    while True:
        try:
            if sum([await ask(name) for name in zones]) == leaders:
                return
        except aiohttp.ClientError:
            pass  # it does not listen yet
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all of {leaders} leaders were heard")
        await asyncio.sleep(0.5)


async def _asked(ask: AskFn, zones: list[str]) -> list[float]:
    """Seconds of each answer, with pauses, as autoscalers don't ask all at once."""
    took = []
    for number in range(ASKED):
        began = time.monotonic()
        if await ask(zones[number % len(zones)]) == 0:
            raise RuntimeError("a zone had no value while it was measured")
        took.append(time.monotonic() - began)
        await asyncio.sleep(_PAUSE_SECONDS)
    return took


async def _counts(port: int) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/counts") as response:
        found: dict[str, Any] = json.loads(await response.text())
        return found


@contextmanager
def _launchers(port: int) -> Iterator[None]:
    argv = [sys.executable, "-m", "bench.leaders", str(port)]
    process = subprocess.Popen(argv, cwd=Path(__file__).parents[1])
    try:
        yield
    finally:
        process.kill()
        process.wait()
