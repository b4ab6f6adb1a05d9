"""The metrics server's answers over real TLS: whom it serves, what it says, and certificates that change meanwhile."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.unit.test_metricsapi_leaders import pod
from tests.unit.tls import FrontProxyAuthority
from trireme_operator.metricsapi import certificates
from trireme_operator.metricsapi.certificates import Serving
from trireme_operator.metricsapi.front_proxy import FrontProxy
from trireme_operator.metricsapi.leaders import Leaders
from trireme_operator.metricsapi.scrape import Scraper
from trireme_operator.metricsapi.server import Server
from trireme_operator.rendering.api_service import CA_KEY, METRICS_PATH

HOST = "localhost"
PODS = f"{METRICS_PATH}/namespaces/genai/pods"
QUEUE = f"{PODS}/%2A/inference_queue_length"
ZONE = "?labelSelector=leaderworkerset.sigs.k8s.io%2Fname%3Dllm-a%2Cleaderworkerset.sigs.k8s.io%2Fworker-index%3D0"
"""As the HPA controller writes the scale selector of LeaderWorkerSet."""


def made() -> tuple[Serving, str]:
    """A certificate for this machine, and the authority that signed it."""
    now = datetime.now(UTC)
    data = {key: text for key, text in (certificates.due({}, host=HOST, now=now) or {}).items() if text is not None}
    found = certificates.serving(data, host=HOST, now=now)
    assert found is not None
    return found, data[CA_KEY]


@dataclass
class Stage:
    """A running server, the authority of its front proxy, and a folder for clients' keys."""

    server: Server
    scraper: Scraper
    folder: Path
    trusted: str
    front: FrontProxyAuthority
    ready: list[bool] = field(default_factory=lambda: [True])
    codes: list[str] = field(default_factory=list)

    def client(
        self, name: str | None = "front-proxy-client", front: FrontProxyAuthority | None = None
    ) -> ssl.SSLContext:
        if name is None:
            return ssl.create_default_context(cadata=self.trusted)
        return (front or self.front).client(self.folder, name, trusting=self.trusted)

    async def get(self, path: str, context: ssl.SSLContext, method: str = "GET") -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session:
            url = URL(f"https://{HOST}:{self.server.port}{path}", encoded=True)
            async with session.request(method, url, ssl=context) as response:
                body = await response.read()
                return response.status, json.loads(body) if response.content_type == "application/json" else body

    def has(self, group: int, value: int | None, *, age: float = 0.0) -> None:
        target = self.scraper.leaders.see(pod(group))
        assert target is not None
        self.scraper.leaders.said(target, value, time.monotonic() - age)


@asynccontextmanager
async def serving(folder: Path, *, names: frozenset[str] = frozenset({"front-proxy-client"})) -> AsyncIterator[Stage]:
    async def nobody(_: str) -> bytes:
        return b""

    scraper, front = Scraper(Leaders(), nobody), FrontProxyAuthority()
    certificate, trusted = made()
    ready, codes = [True], []  # type: list[bool], list[str]
    server = Server(scraper, port=0, ready=lambda: ready[0], observer=lambda code, _: codes.append(code))
    try:
        await server.use(certificate, FrontProxy(front.pem, names))
        yield Stage(server, scraper, folder, trusted, front, ready, codes)
    finally:
        await server.close()


async def test_the_queue_of_each_fresh_leader_is_answered_as_the_autoscaler_reads_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        stage.has(0, 35)
        stage.has(1, 0)
        stage.has(2, None)
        stage.has(3, 9, age=3600)
        status, found = await stage.get(QUEUE + ZONE, stage.client())

        assert status == 200
        assert (found["kind"], found["apiVersion"]) == ("MetricValueList", "custom.metrics.k8s.io/v1beta2")
        values = {item["describedObject"]["name"]: item["value"] for item in found["items"]}
        assert values == {"llm-a-0": "35", "llm-a-1": "0"}, "loading and stale leaders are left out"
        item = found["items"][0]
        assert item["describedObject"] == {
            "kind": "Pod",
            "namespace": "genai",
            "name": item["describedObject"]["name"],
            "apiVersion": "v1",
        }
        assert item["metric"]["name"] == "inference_queue_length"
        age = datetime.now(UTC) - datetime.fromisoformat(item["timestamp"])
        assert -1 <= age.total_seconds() < 30

        other = ZONE.replace("llm-a", "llm-b")
        assert (await stage.get(QUEUE + other, stage.client()))[1]["items"] == [], "nothing known is not zero"
        one = await stage.get(f"{PODS}/llm-a-0/inference_queue_length", stage.client())
        assert [item["value"] for item in one[1]["items"]] == ["35"]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        pytest.param(f"{PODS}/%2A/other_metric", 404, "it serves inference_queue_length", id="another metric"),
        pytest.param(QUEUE + "?labelSelector=a%20b", 400, "labelSelector: unexpected", id="no selector"),
        pytest.param(f"{PODS}/llm-a-7/inference_queue_length", 404, "is no leader with a known queue", id="no pod"),
        pytest.param(f"{METRICS_PATH}/nodes/x/y", 404, "GET", id="another kind"),
        pytest.param("/apis/custom.metrics.k8s.io", 404, "GET", id="the group alone"),
    ],
)
async def test_what_is_not_there_is_a_status(tmp_path: Path, path: str, status: int, says: str) -> None:
    async with serving(tmp_path) as stage:
        found = await stage.get(path, stage.client())
        assert found[0] == status
        assert (found[1]["kind"], found[1]["code"]) == ("Status", status)
        assert says in found[1]["message"]
        assert stage.codes == [str(status)]


async def test_only_reads_are_served(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        assert (await stage.get(METRICS_PATH, stage.client(), "DELETE"))[0] == 405


async def test_discovery_comes_from_constants_and_names_nothing_to_delete(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        stage.ready[0] = False
        status, found = await stage.get(METRICS_PATH, stage.client())
        assert (status, found["kind"], found["groupVersion"]) == (
            200,
            "APIResourceList",
            "custom.metrics.k8s.io/v1beta2",
        )
        assert all(resource["verbs"] == ["get"] for resource in found["resources"])


async def test_nobody_but_the_front_proxy_is_answered(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        stage.has(0, 35)
        for client in (stage.client(None), stage.client("mallory")):
            for path in (METRICS_PATH, QUEUE):
                assert (await stage.get(path, client))[0] == 401
        with pytest.raises(aiohttp.ClientError):
            await stage.get(QUEUE, stage.client("front-proxy-client", FrontProxyAuthority()))
        assert (await stage.get(QUEUE, stage.client()))[0] == 200


async def test_probes_need_no_certificate(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        assert (await stage.get("/livez", stage.client(None)))[0] == 200
        assert (await stage.get("/readyz", stage.client(None)))[0] == 200
        stage.ready[0] = False
        assert (await stage.get("/livez", stage.client(None)))[0] == 200
        assert (await stage.get("/readyz", stage.client(None)))[0] == 503


async def test_new_certificates_are_served_at_once_on_the_same_port_and_old_clients_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        before, port = stage.client(), stage.server.port
        assert (await stage.get(METRICS_PATH, before))[0] == 200

        certificate, trusted = made()
        new = FrontProxyAuthority("another-front-proxy-ca")
        await stage.server.use(certificate, FrontProxy(new.pem, frozenset({"front-proxy-client"})))
        assert stage.server.port == port
        for _ in range(8):  # none of them meets what was served before
            with pytest.raises(aiohttp.ClientConnectorError):
                await stage.get("/livez", before)
        stage.trusted = trusted
        assert (await stage.get(METRICS_PATH, stage.client(front=new)))[0] == 200
        with pytest.raises(aiohttp.ClientError):
            await stage.get(METRICS_PATH, stage.client())


async def test_a_kept_connection_outlives_a_change(tmp_path: Path) -> None:
    """The API server keeps its connections; a renewal must not fail what it is asking."""
    async with serving(tmp_path) as stage, aiohttp.ClientSession() as session:
        url, client = f"https://{HOST}:{stage.server.port}{METRICS_PATH}", stage.client()
        async with session.get(url, ssl=client) as response:
            assert response.status == 200
            await response.read()
        certificate, _ = made()
        await stage.server.use(certificate, FrontProxy(stage.front.pem, frozenset({"front-proxy-client"})))
        async with session.get(url, ssl=client) as response:
            assert response.status == 200


async def test_an_address_in_use_is_an_error_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        with pytest.raises(OSError, match="in use"):
            Server(stage.scraper, port=stage.server.port, ready=lambda: True)


async def test_a_thousand_leaders_are_answered_within_the_limit(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        for group in range(1000):
            target = stage.scraper.leaders.see(pod(group, ip=f"10.1.{group // 250}.{group % 250 + 1}"))
            assert target is not None
            stage.scraper.leaders.said(target, group, time.monotonic())
        status, found = await stage.get(QUEUE + ZONE, stage.client())
        assert (status, len(found["items"])) == (200, 1000)
        assert found["items"][-1]["value"] == "999"
