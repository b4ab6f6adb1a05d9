"""A real API server for tests, the CRDs on it, and the hands of other people than the operator."""

import asyncio
import contextlib
import functools
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.integration.forked import Forked
from trireme_operator.controller.scope import CHILD_KINDS
from trireme_operator.kube import (
    INFERENCE_CLUSTER,
    POD,
    ApiMissing,
    Kind,
    KubernetesApi,
    NotFound,
    Obj,
    TooManyRequests,
    connect,
)

ROOT = Path(__file__).parents[2]
LAUNCHER_IMAGE = "trireme.dev/runtime:test"
CRD = Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")


_RBAC = "rbac.authorization.k8s.io"
CLUSTER_ROLE = Kind(_RBAC, "v1", "clusterroles", "ClusterRole")
BINDING = Kind(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding")
ROLE = Kind(_RBAC, "v1", "roles", "Role")
ROLE_BINDING = Kind(_RBAC, "v1", "rolebindings", "RoleBinding")
OPERATOR_USER = "trireme-operator"
SYSTEM = "trireme-system"
"""The operator's own namespace."""
_PATIENCE_SECONDS = 90.0
_EVENT_WAITS = {"22", "232", "281", "441"}
"""Numbers of epoll_pwait (arm64), epoll_wait, epoll_pwait (x86_64) and epoll_pwait2 (both)."""


class Hands:
    """What a user, a controller or an accident does to objects; `api` is the adapter under test as well."""

    def __init__(self, api: KubernetesApi) -> None:
        self.api = api

    async def install(self, crds: list[Obj]) -> None:
        paths = [await self.apply(CRD, definition) for definition in crds]
        for path in paths:
            await until(functools.partial(self._established, path))

    async def allow_operator(self, user: str = OPERATOR_USER, *, source: Path = ROOT) -> None:
        """Give a user the rights that the chart of a checkout gives the operator, and no other.

        Those in the operator's own namespace only if that exists: who takes no Lease has no use for them.
        """
        subject = {"apiGroup": _RBAC, "kind": "User", "name": user}
        for scope, binding_kind in ((CLUSTER_ROLE, BINDING), (ROLE, ROLE_BINDING)):
            file = source / f"manifests/base/{scope.kind.lower()}.yaml"
            if not file.exists():
                continue  # the first release asked for none in its own namespace
            role = yaml.safe_load(file.read_text())
            reference = {"apiGroup": _RBAC, "kind": scope.kind, "name": role["metadata"]["name"]}
            metadata = {"name": user} | ({"namespace": role["metadata"]["namespace"]} if scope is ROLE else {})
            binding: Obj = {"apiVersion": f"{_RBAC}/v1", "kind": binding_kind.kind, "metadata": metadata}
            with contextlib.suppress(NotFound):
                await self.apply(scope, role)
                await self.apply(binding_kind, {**binding, "subjects": [subject], "roleRef": reference})

    async def apply(self, kind: Kind, obj: Obj) -> str:
        """Apply an object; returns its path."""
        path = kind.path(obj["metadata"].get("namespace"), obj["metadata"]["name"])
        query = {"fieldManager": "test", "force": "true"}
        await self._patch(path, obj, "application/apply-patch+yaml", query)
        return path

    async def served(self, *kinds: Kind) -> None:
        """Wait until collections answer: for a moment after it was made, a kind's storage is being set up."""
        for kind in kinds:
            await until(functools.partial(self._answers, kind))

    async def _answers(self, kind: Kind) -> bool:
        try:
            await self.api.list(kind, None)
        except (ApiMissing, TooManyRequests):
            return False
        return True

    async def uninstall(self, crds: list[Obj]) -> None:
        for definition in crds:
            await self.api._call("DELETE", CRD, f"{CRD.path()}/{definition['metadata']['name']}", is_object=True)

    async def namespace(self, name: str) -> None:
        kind = Kind("", "v1", "namespaces", "Namespace")
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await self.api._call("POST", kind, kind.path(), body=body, is_object=False)

    async def clear(self, namespace: str) -> None:
        """Delete resources and their children, as nobody does without controllers.

        Each later operator would list them all and reconcile them all.
        """
        if await self.api.list(INFERENCE_CLUSTER, namespace):
            await self._delete_all(INFERENCE_CLUSTER, namespace)
            await self.clear_children(namespace)

    async def clear_children(self, namespace: str) -> None:
        """Where there never was a resource."""
        await asyncio.gather(*(self._delete_all(kind, namespace) for kind in (*CHILD_KINDS, POD)))

    async def _delete_all(self, kind: Kind, namespace: str) -> None:
        with contextlib.suppress(ApiMissing, NotFound):  # a test may have taken the kind away
            path, query = kind.path(namespace), {"gracePeriodSeconds": "0"}
            await self.api._call("DELETE", kind, path, query=query, is_object=False)

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        """As `kubectl create`: with strict validation, without server-side apply."""
        path = kind.path(obj["metadata"]["namespace"])
        body = {"apiVersion": kind.api_version, "kind": kind.kind} | obj
        return await self.api._call("POST", kind, path, query={"fieldValidation": "Strict"}, body=body, is_object=False)

    async def merge(self, kind: Kind, namespace: str, name: str, patch: Obj, subresource: str | None = None) -> Obj:
        """As `kubectl edit`, `label` or `annotate`; with `subresource`, as a controller writes a status."""
        return await self._patch(kind.path(namespace, name, subresource), patch, "application/merge-patch+json", {})

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        live = await self.api.get(kind, namespace, name)
        await self.api.delete(kind, namespace, name, uid=live["metadata"]["uid"])

    async def pod(self, obj: Obj) -> None:
        """A pod as LeaderWorkerSet and a kubelet would have brought it about."""
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        spec = {"containers": [{"name": "engine", "image": "x"}], "serviceAccountName": "llm-engine"}
        await self.create(POD, {"metadata": obj["metadata"], "spec": spec | obj.get("spec", {})})
        await self.merge(POD, namespace, name, {"status": obj["status"]}, "status")

    async def _patch(self, path: str, body: Obj, content_type: str, query: dict[str, str]) -> Obj:
        return await self.api._call(
            "PATCH", CRD, path, query=query, body=body, content_type=content_type, is_object=True
        )

    async def _established(self, path: str) -> bool:
        live = await self.api._call("GET", CRD, path, is_object=True)
        conditions = (live.get("status") or {}).get("conditions") or []
        return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


@contextlib.asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[Hands]:
    """As patient as kubectl: on a busy machine a collection is deleted in more time than the operator would wait."""
    api = KubernetesApi(await connect(kubeconfig), timeout_seconds=_PATIENCE_SECONDS)
    try:
        yield Hands(api)
    finally:
        await api.close()


def _nothing() -> str:
    return ""


async def until(
    condition: Callable[[], Awaitable[Any]], *, seconds: float = 120.0, said: Callable[[], str] = _nothing
) -> float:
    """Wait until the condition is true; returns how long that took. What `said` returns is told when it never is.

    The limit is for a machine that is busy, and no claim: what must be fast is measured by ``bench``.

    It asks the less often the longer it waits: answering is work for a server that others wait for as well.
    """
    started = time.monotonic()
    while not await condition():
        waited = time.monotonic() - started
        assert waited < seconds, f"not within {seconds} s {said()}"
        await asyncio.sleep(min(0.02 + waited / 10, 0.2))
    return time.monotonic() - started


async def condition(hands: Hands, namespace: str, kind: str, name: str = "llm") -> dict[str, Any]:
    """One condition of a resource, {} while it is absent."""
    status = (await hands.api.get(INFERENCE_CLUSTER, namespace, name)).get("status") or {}
    return next((item for item in status.get("conditions") or [] if item["type"] == kind), {})


class Operator:
    """The operator's real process against an API server, with the code of a checkout."""

    def __init__(
        self,
        kubeconfig: Path,
        log: Path,
        *,
        namespaces: str = "",
        lease: str = "",
        identity: str = "",
        source: Path = ROOT,
        launcher_image: str = LAUNCHER_IMAGE,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        self._environment = {**os.environ, **(environment or {})} | {
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(source / "operator"),
            "TRIREME_LAUNCHER_IMAGE": launcher_image,
            "TRIREME_NAMESPACES": namespaces,
            "TRIREME_LEASE": lease,
            "TRIREME_IDENTITY": identity,
            "TRIREME_PROBE_PORT": str(_free_port()),
            "TRIREME_METRICS_PORT": str(_free_port()),
            "TRIREME_PERMIT_PORT": str(_free_port()),
        }
        self._process: subprocess.Popen[bytes] | Forked | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            argv = [sys.executable, "-m", "trireme_operator.main"]
            self._process = subprocess.Popen(argv, env=self._environment, stdout=log, stderr=log)

    async def ready(self) -> None:
        def said() -> str:
            text = self.log.read_text() if self.log.exists() else ""
            return f"(the operator, {'running' if self.running else 'ended'}, said: {text[-3000:] or 'nothing'})"

        async def answers() -> bool:
            assert self.running, said()
            return self.get("TRIREME_PROBE_PORT", "/healthz") is not None

        await until(answers, said=said)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, as the kernel or a node's end would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Freeze the process, so that it can't do another one's work."""
        self.freeze()
        try:
            yield
        finally:
            self.resume()

    def freeze(self) -> None:
        """SIGSTOP, as a debugger, a hypervisor or a machine out of memory would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def freeze_between_turns(self) -> None:
        """Freeze it while its event loop waits: what a turn writes is handed to the kernel at the turn's end."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self.freeze()
            here = Path(f"/proc/{self.pid}")
            while (here / "stat").read_text().rpartition(")")[2].split()[0] != "T":
                time.sleep(0.001)
            if (here / "syscall").read_text().split()[0] in _EVENT_WAITS:
                return
            self.resume()
            time.sleep(0.001)
        raise AssertionError("its event loop never waits")

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> tuple[int, float]:
        """SIGTERM; returns the exit code and the seconds until the end."""
        assert self._process is not None
        started = time.monotonic()
        self._process.terminate()
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return code, time.monotonic() - started

    def get(self, port: str, path: str) -> str | None:
        """The body of an answer of status 200, else None."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._environment[port]}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return None

    def metrics(self) -> dict[str, float]:
        """Every sample by its name and labels."""
        lines = (self.get("TRIREME_METRICS_PORT", "/metrics") or "").splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}


class ForkedOperator(Operator):
    """The same without the imports of a command."""

    def start(self) -> None:
        self._process = Forked("trireme_operator.main", self._environment, self.log)


@contextlib.contextmanager
def running_operator(
    kubeconfig: Path,
    log: Path,
    *,
    namespaces: str = "",
    lease: str = "",
    source: Path = ROOT,
    launcher_image: str = LAUNCHER_IMAGE,
    environment: Mapping[str, str] | None = None,
    forked: bool = True,
) -> Iterator[Operator]:
    """A started operator; another checkout's is always a command."""
    kind = ForkedOperator if forked and source == ROOT else Operator
    operator = kind(
        kubeconfig,
        log,
        namespaces=namespaces,
        lease=lease,
        source=source,
        launcher_image=launcher_image,
        environment=environment,
    )
    operator.start()
    try:
        yield operator
    finally:
        if operator.running:
            operator.kill()


_given: set[int] = set()


def _free_port() -> int:
    """A port that nobody listens on, on any address: an operator listens on all of them.

    It is below those that the kernel gives to connections, and given once: it may be taken much later.
    """
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("", 12_000 + secrets.randbelow(18_000)))
            port: int = probe.getsockname()[1]
            if port not in _given:
                _given.add(port)
                return port
