"""Ways in which the metrics server fails, each until the end of its block (or until it mends itself)."""

from __future__ import annotations

import base64
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from e2e import processes, stack
from e2e.api import Api, Obj, wait_until
from e2e.cluster import Cluster
from e2e.drills.timeline import is_ready, restarts
from trireme_operator.metricsapi import certificates
from trireme_operator.rendering.api_service import CA_KEY, MetricsService

SERVICE = MetricsService(stack.NAMESPACE, "trireme-metrics-api")
PODS = f"/api/v1/namespaces/{stack.NAMESPACE}/pods?labelSelector=app.kubernetes.io/component%3Dmetrics-api"

_DEPLOYMENT = f"/apis/apps/v1/namespaces/{stack.NAMESPACE}/deployments/{SERVICE.name}"
_SECRET = f"/api/v1/namespaces/{stack.NAMESPACE}/secrets/{SERVICE.name}"
_ROLE = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{stack.NAMESPACE}/roles/{SERVICE.name}"
_EVERYBODY = "0.0.0.0/0"
_LEFT = timedelta(seconds=120)
"""Of a certificate that is to end: meanwhile every server starts again, one after the other, on a busy machine."""
_START_SECONDS = 45


@dataclass(frozen=True)
class Outage:
    """`fail` gives a block in which it has failed; `mends` says that it does not last until the block's end."""

    name: str
    fail: Callable[[Cluster, Api], AbstractContextManager[None]]
    mends: bool = False


@contextmanager
def _scaled_to_0(_: Cluster, kube: Api) -> Iterator[None]:
    before = kube.get(_DEPLOYMENT)["spec"]["replicas"]
    kube.merge_patch(_DEPLOYMENT, {"spec": {"replicas": 0}})
    try:
        yield
    finally:
        kube.merge_patch(_DEPLOYMENT, {"spec": {"replicas": before}})


@contextmanager
def _killed(_: Cluster, kube: Api) -> Iterator[None]:
    """The kubelet starts them again."""
    _signal(signal.SIGKILL, _servers(kube))
    yield


@contextmanager
def _hung(_: Cluster, kube: Api) -> Iterator[None]:
    """Its sockets accept and nobody answers, until the kubelet ends it."""
    _signal(signal.SIGSTOP, _servers(kube))
    yield


@contextmanager
def _cut_off(cluster: Cluster, kube: Api) -> Iterator[None]:
    """Nothing is routed to its pods or from them. Each node reaches its own, so for the kubelet they are ready."""
    addresses = [str(pod["status"]["podIP"]) for pod in kube.items(PODS)]
    try:
        cluster.split_pods(addresses, [_EVERYBODY])
        yield
    finally:
        cluster.join_pods()


@contextmanager
def _certificate_ended(_: Cluster, kube: Api) -> Iterator[None]:
    """It ends as any does whose renewal is refused; servers that started meanwhile serve it to the end and after."""
    rules = kube.get(_ROLE)["rules"]
    kube.merge_patch(_ROLE, {"rules": [{**rule, "verbs": ["get"]} for rule in rules]})
    try:
        ends = time.monotonic() + _LEFT.total_seconds()
        _put_certificate(kube)
        for pod in kube.items(PODS):
            _start_again(kube, pod)
        assert time.monotonic() < ends, "it ended before all servers served it"
        time.sleep(ends - time.monotonic() + 1)
        yield
    finally:
        kube.merge_patch(_ROLE, {"rules": rules})


OUTAGES = (
    Outage("killed", _killed, mends=True),
    Outage("hung", _hung, mends=True),
    Outage("scaled to 0", _scaled_to_0),
    Outage("cut off from the network", _cut_off),
    Outage("with a certificate that has ended", _certificate_ended),
)


def _put_certificate(kube: Api) -> None:
    """One that the servers' own code makes, but long ago; the authority in use stays trusted beside its own."""
    now = datetime.now(UTC)
    made = certificates.due({}, host=SERVICE.host, now=now - certificates.LIFETIME + _LEFT) or {}
    trusted = base64.b64decode(kube.get(_SECRET)["data"][CA_KEY]).decode()
    made[CA_KEY] = f"{trusted}{made[CA_KEY]}"
    data = {key: None if text is None else base64.b64encode(text.encode()).decode() for key, text in made.items()}
    kube.merge_patch(_SECRET, {"data": data})


def _start_again(kube: Api, pod: Obj) -> None:
    """Its server ends as by a crash, so that nobody keeps a connection that was made under another certificate."""
    path = f"/api/v1/namespaces/{stack.NAMESPACE}/pods/{pod['metadata']['name']}"
    _signal(signal.SIGKILL, _of(pod))

    def back() -> bool:
        now = kube.get(path)
        return restarts(now) > restarts(pod) and is_ready(now)

    wait_until(back, timeout_seconds=_START_SECONDS, what=f"{path} to be ready again")


def _servers(kube: Api) -> list[int]:
    return [pid for pod in kube.items(PODS) for pid in _of(pod)]


def _of(pod: Obj) -> list[int]:
    """The server's processes on this machine. Raises ProcessLookupError when there is none."""
    all_ = {pid: processes.command_line(pid) for pid in processes.of_pod(pod["metadata"]["uid"])}
    found = [pid for pid, line in all_.items() if "trireme_operator.metricsapi" in line]
    if not found:
        raise ProcessLookupError(f"no server among the processes of {pod['metadata']['name']} on this machine: {all_}")
    return found


def _signal(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, number)
