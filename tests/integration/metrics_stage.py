"""The metrics server's real process behind a real API server: its Service, its pods' launchers, its registration.

Endpoints can't be on loopback (the API server refuses them), so the server is reached at the machine's own address.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from aiohttp.abc import AbstractResolver, ResolveResult

from e2e.cluster.controlplane import ControlPlane
from scripts import chart
from tests.integration.forked import Forked
from tests.integration.server import BINDING, CLUSTER_ROLE, ROLE, ROLE_BINDING, ROOT, Hands, until
from trireme_operator.controller.reach import Reach
from trireme_operator.controller.registration import Registration
from trireme_operator.kube import (
    API_SERVICE,
    POD,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Fence,
    FencedApi,
    Kind,
    KubeError,
    KubernetesApi,
    NotFound,
    Obj,
    connect,
)
from trireme_operator.metricsapi import certificates
from trireme_operator.rendering.api_service import API_SERVICE_NAME, CA_KEY, METRICS_PATH, MetricsService
from trireme_operator.rendering.engine import LAUNCHER_PORT
from trireme_runtime import metrics as launcher
from trireme_runtime.stage import Stage

NAME = "trireme-metrics-api"
METRICS = MetricsService(chart.NAMESPACE, NAME)
STATEFUL_SET = Kind("apps", "v1", "statefulsets", "StatefulSet")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
INSTALLED: dict[str, Kind] = {
    kind.kind: kind
    for kind in (SERVICE_ACCOUNT, SECRET, SERVICE, ENDPOINT_SLICE, CLUSTER_ROLE, BINDING, ROLE, ROLE_BINDING)
}
ZONE = "leaderworkerset.sigs.k8s.io%2Fname%3Dllm-a%2Cleaderworkerset.sigs.k8s.io%2Fworker-index%3D0"


def machine_address() -> str:
    """An address of this machine that is not on loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))
        return str(probe.getsockname()[0])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


class FakeLauncher(BaseHTTPRequestHandler):
    """What the launcher of the leader `llm-a-0` says."""

    queue: int | None = 35

    def do_GET(self) -> None:
        text = launcher.text(info={"pod": "llm-a-0"}, stage=Stage.READY, engine_healthy=True, queue=self.queue)
        body = text.encode() if self.path == "/metrics" else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a read every other second is no news."""


@contextlib.contextmanager
def launchers() -> Iterator[type[FakeLauncher]]:
    # Not on all addresses: other tests have launchers on addresses of their own, with the same port.
    server = ThreadingHTTPServer((machine_address(), LAUNCHER_PORT), FakeLauncher)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield FakeLauncher
    finally:
        server.shutdown()
        server.server_close()


class MetricsServer:
    """The real process, with the chart's rights; another `module` may be what composes it."""

    def __init__(
        self, kubeconfig: Path, log: Path, *, port: int, module: str = "trireme_operator.metricsapi", **more: str
    ) -> None:
        self.log, self.port, self._module = log, port, module
        self._environment = (
            os.environ
            | {
                "KUBECONFIG": str(kubeconfig),
                "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("operator", "runtime", ".")),
                "TRIREME_METRICS_API": f"{METRICS.namespace}/{METRICS.name}",
                "TRIREME_METRICS_API_PORT": str(port),
                "TRIREME_METRICS_PORT": str(free_port()),
            }
            | more
        )
        self.process: subprocess.Popen[bytes] | Forked | None = None

    @property
    def pid(self) -> int:
        """Of the started process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        with self.log.open("ab") as log:
            argv = [sys.executable, "-m", self._module]
            self.process = subprocess.Popen(argv, env=self._environment, stdout=log, stderr=log)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=10)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class ForkedMetricsServer(MetricsServer):
    """The same without the imports of a command."""

    def start(self) -> None:
        self.process = Forked("trireme_operator.metricsapi.main", self._environment, self.log)


class OwnPort(AbstractResolver):
    """Finds the Service where its one endpoint is."""

    def __init__(self, address: str, port: int) -> None:
        self._found = ResolveResult(
            hostname=METRICS.host, host=address, port=port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
        )

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        assert (host, port, family) == (METRICS.host, 443, socket.AF_UNSPEC)
        return [self._found]

    async def close(self) -> None:
        """Nothing is open."""


class Wish:
    """Whether a resource wants the metric: as the test says."""

    is_known = True

    def __init__(self) -> None:
        self.wanted = True

    def __call__(self) -> bool:
        return self.wanted


@dataclass
class MetricsStage:
    """All of it together; `ask` is what the HPA controller does."""

    hands: Hands
    server: MetricsServer
    registration: Registration
    wish: Wish

    async def ask(self, namespace: str) -> dict[str, str] | None:
        """Values by pod; None when the API server has nobody to ask."""
        path = f"{METRICS_PATH}/namespaces/{namespace}/pods/%2A/inference_queue_length?labelSelector={ZONE}"
        try:
            found = await self.hands.api._call("GET", API_SERVICE, path, is_object=False)
        except KubeError:
            return None
        return {item["describedObject"]["name"]: item["value"] for item in found["items"]}

    async def live(self) -> Obj | None:
        try:
            return await self.hands.api.get(API_SERVICE, "", API_SERVICE_NAME)
        except NotFound:
            return None

    async def available(self) -> bool:
        conditions = ((await self.live() or {}).get("status") or {}).get("conditions") or []
        return any(each["type"] == "Available" and each["status"] == "True" for each in conditions)

    async def gone(self) -> bool:
        return await self.live() is None


@contextlib.asynccontextmanager
async def metrics_stage(plane: ControlPlane, hands: Hands, folder: Path) -> AsyncIterator[MetricsStage]:
    """The chart's objects, the server as its ServiceAccount, and the registration with the operator's rights."""
    port, address = free_port(), machine_address()
    await install(hands, address, port)
    account = f"system:serviceaccount:{chart.NAMESPACE}"
    server = ForkedMetricsServer(plane.client(NAME, common_name=f"{account}:{NAME}"), folder / "server.log", port=port)
    operator = plane.client("the-operator", common_name=f"{account}:trireme")
    api, fence, wish = KubernetesApi(await connect(operator)), Fence(), Wish()
    fence.open()
    registration = Registration(
        FencedApi(api, fence),
        api,
        fence,
        METRICS,
        wanted=wish,
        answers=Reach(OwnPort(address, port)),
        changed=lambda: None,
    )
    server.start()
    try:
        yield MetricsStage(hands, server, registration, wish)
    finally:
        server.kill()
        await api.close()


@functools.cache
def charted() -> tuple[Obj, ...]:
    """The objects of the chart with its defaults."""
    return tuple(chart.template())


async def install(hands: Hands, address: str, port: int) -> None:
    """What the chart installs, but for what runs pods; the Service without a selector leads to this machine."""
    with contextlib.suppress(KubeError):
        await hands.namespace(chart.NAMESPACE)
    objects: list[Obj] = [obj for obj in charted() if obj["kind"] in INSTALLED and obj["kind"] != SERVICE.kind]
    metadata = {"name": NAME, "namespace": chart.NAMESPACE}
    ports = [{"name": "https", "port": 443, "targetPort": port}]
    objects.append({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}})
    objects.append(
        {
            "apiVersion": ENDPOINT_SLICE.api_version,
            "kind": ENDPOINT_SLICE.kind,
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": NAME}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }
    )
    for obj in objects:
        await hands.apply(INSTALLED[obj["kind"]], obj)


async def put_certificate(hands: Hands, *, left: timedelta) -> str:
    """One that the servers' own code made long ago and that has so much time left; gives its authority in base 64."""
    made = certificates.due({}, host=METRICS.host, now=datetime.now(UTC) - certificates.LIFETIME + left) or {}
    data = {key: None if text is None else base64.b64encode(text.encode()).decode() for key, text in made.items()}
    await hands.merge(SECRET, chart.NAMESPACE, NAME, {"data": data})
    return str(data[CA_KEY])


async def let_renew(hands: Hands, *, allowed: bool) -> None:
    """Whether the servers may write their Secret, as the chart has it; they may read it."""
    (role,) = [obj for obj in charted() if obj["kind"] == "Role" and obj["metadata"]["name"] == NAME]
    reading = [{**rule, "verbs": ["get"]} for rule in role["rules"]]
    await hands.apply(ROLE, role if allowed else {**role, "rules": reading})


async def leader(hands: Hands, namespace: str, group: int, address: str) -> None:
    """A leader's pod as LeaderWorkerSet and a kubelet would have brought it about."""
    lws, name = "leaderworkerset.sigs.k8s.io/", f"llm-a-{group}"
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "llm-a", "controller": True}
    labels = {
        "trireme.dev/cluster": "llm",
        f"{lws}name": "llm-a",
        f"{lws}group-index": str(group),
        f"{lws}worker-index": "0",
    }
    metadata: Obj = {"name": name, "namespace": namespace, "labels": labels}
    metadata |= {"ownerReferences": [owner | {"uid": await _stateful_set(hands, namespace)}]}
    await until(lambda: _exists(hands, SERVICE_ACCOUNT, namespace, "default"))
    await hands.create(POD, {"metadata": metadata, "spec": {"containers": [{"name": "engine", "image": "x"}]}})
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
    await hands.merge(POD, namespace, name, {"status": status}, "status")


async def _stateful_set(hands: Hands, namespace: str) -> str:
    """What owns leaders; without an owner that exists, the garbage collector would take them. Returns its UID."""
    if not await _exists(hands, STATEFUL_SET, namespace, "llm-a"):
        labels = {"app": "llm-a"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "engine", "image": "x"}]}}
        spec = {"serviceName": "llm-a", "selector": {"matchLabels": labels}, "template": template}
        await hands.create(STATEFUL_SET, {"metadata": {"name": "llm-a", "namespace": namespace}, "spec": spec})
    return str((await hands.api.get(STATEFUL_SET, namespace, "llm-a"))["metadata"]["uid"])


async def _exists(hands: Hands, kind: Kind, namespace: str, name: str) -> bool:
    try:
        await hands.api.get(kind, namespace, name)
    except NotFound:
        return False
    return True
