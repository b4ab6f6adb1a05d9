"""A real autoscaler follows the queue, with nothing installed for it but Trireme, and waits while nobody tells it.

A metrics server that fails ends no group, and holds up no namespace of the cluster for long.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import pytest

from e2e import processes, resources, stack
from e2e.api import Api, ApiError, wait_until
from e2e.cluster import Cluster
from e2e.demo import __main__ as demo
from e2e.demo.watch import condition
from e2e.drills.client import Shape
from e2e.drills.target import available
from e2e.drills.timeline import is_ready
from e2e.drills.traffic import Traffic
from e2e.tests.queued import (
    ACTIVE_SECONDS,
    API_SERVICE,
    METRICS_SERVER,
    MOST,
    NAME,
    PERIOD_SECONDS,
    TARGET,
    groups,
    queue,
    scaled,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

HOST = f"{NAME}.test"
BUSY = Shape(per_second=16, tokens=30)
"""Each takes 3 s, so 48 run at a time, half of them in each zone: more than the most groups take at the target."""
LIGHT = Shape(per_second=2, tokens=4, stream=True)
LATE_SECONDS = 5
ROUND_SECONDS = 90
"""Some looks of the autoscaler, and the start or the end of groups."""

DEPLOYMENT = f"/apis/apps/v1/namespaces/{stack.NAMESPACE}/deployments/trireme-metrics-api"
PODS = f"/api/v1/namespaces/{stack.NAMESPACE}/pods?labelSelector=app.kubernetes.io/component%3Dmetrics-api"
NAMESPACE_SECONDS = 30
KUBECTL_SECONDS = 3
AGAIN_SECONDS = 270
"""The kubelet ends what hangs within a minute, and a registration that did harm comes back after a pause."""


@pytest.fixture(scope="module")
def url(cluster: Cluster, kube: Api, module_namespace: str) -> str:
    """Of a Gateway in the namespace, whose proxy is ready."""
    manifest = (demo.MANIFESTS / "gateway.yaml").read_text()
    cluster.kubectl("apply", "--server-side", "--namespace", module_namespace, "-f", "-", input=manifest)
    address = demo.gateway_service(kube, module_namespace)["spec"]["clusterIP"]
    wait_until(
        lambda: available(kube, "envoy-gateway-system"), timeout_seconds=90, what="the gateway's proxy to be ready"
    )
    return f"http://{address}"


@pytest.fixture(scope="module")
def served(cluster: Cluster, kube: Api, module_namespace: str, url: str) -> Iterator[str]:
    """The namespace of a resource whose autoscalers read the metric; the registration goes with the resource."""
    assert url
    gateway = {"parentRefs": [{"name": demo.GATEWAY}], "hostnames": [HOST]}
    resources.apply(cluster, module_namespace, scaled(down_at_once=True, gateway=gateway))
    resources.wait_for(kube, module_namespace, NAME, "Ready")
    said = resources.wait_for(kube, module_namespace, NAME, "AutoscalingActive", seconds=ACTIVE_SECONDS)
    assert f"served by {METRICS_SERVER}" in condition(said, "AutoscalingActive")["message"]
    yield module_namespace
    kube.delete(resources.path(module_namespace, NAME))
    wait_until(lambda: kube.find(API_SERVICE) is None, timeout_seconds=60, what="the registration to be taken away")


@pytest.fixture
def doomed(cluster: Cluster) -> str:
    """A namespace that is deleted while the server fails."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    stack.namespace(cluster, name)
    return f"/api/v1/namespaces/{name}"


def test_the_number_of_groups_follows_the_queue_in_two_zones_at_once(
    cluster: Cluster, kube: Api, served: str, url: str
) -> None:
    with Traffic(cluster, url, HOST, NAME, BUSY) as busy:
        wait_until(
            lambda: max(queue(kube, served), default=0) > TARGET,
            timeout_seconds=30,
            what="a queue that is too long",
            ignore=(ApiError,),
            interval_seconds=0.5,
        )
        seen = time.monotonic()
        wait_until(
            lambda: max(groups(kube, served)) > 1,
            timeout_seconds=4 * PERIOD_SECONDS,
            what="a group more",
            interval_seconds=0.2,
        )
        took = time.monotonic() - seen
        assert took < PERIOD_SECONDS + LATE_SECONDS, f"{took:.1f} s from the metric to the number"
        await_groups(kube, served, (MOST, MOST), seconds=ROUND_SECONDS)
        busy.stop()
    assert not faults(busy)

    with Traffic(cluster, url, HOST, NAME, LIGHT) as light:
        await_groups(kube, served, (1, 1), seconds=2 * ROUND_SECONDS)
        light.stop()
    assert light.requests
    assert not faults(light), "groups that end finish what they run"
    wait_until(lambda: decided(kube, served), timeout_seconds=30, what="the status to tell of the decisions")


@contextmanager
def gone(kube: Api) -> Iterator[None]:
    """Nobody runs it."""
    before = kube.get(DEPLOYMENT)["spec"]["replicas"]
    kube.merge_patch(DEPLOYMENT, {"spec": {"replicas": 0}})
    try:
        yield
    finally:
        kube.merge_patch(DEPLOYMENT, {"spec": {"replicas": before}})


@contextmanager
def hanging(kube: Api) -> Iterator[None]:
    """Its sockets accept and nobody answers, until the kubelet ends it."""
    found = [pid for pod in kube.items(PODS) for pid in processes.of_pod(pod["metadata"]["uid"])]
    servers = [pid for pid in found if "trireme_operator.metricsapi" in processes.command_line(pid)]
    assert servers, "no process of the metrics server on this machine"
    for pid in servers:
        os.kill(pid, signal.SIGSTOP)
    yield


@pytest.mark.drill
@pytest.mark.parametrize("failing", [gone, hanging])
def test_a_metrics_server_that_fails_ends_no_group_and_holds_nobody_up(
    cluster: Cluster,
    kube: Api,
    *,
    served: str,
    url: str,
    doomed: str,
    failing: Callable[[Api], AbstractContextManager[None]],
) -> None:
    resources.wait_for(kube, served, NAME, "AutoscalingActive", seconds=AGAIN_SECONDS)
    with Traffic(cluster, url, HOST, NAME, BUSY) as busy:
        await_groups(kube, served, (MOST, MOST), seconds=ROUND_SECONDS)
        with failing(kube):
            is_deleted_in_time(kube, doomed)
            answers_quickly(cluster)
            busy.stop()
            # An autoscaler that hangs with its server says nothing until that is over.
            if failing is gone:
                wait_until(
                    lambda: says(kube, served, "MetricsUnavailable"),
                    timeout_seconds=4 * PERIOD_SECONDS,
                    what="the status to say so",
                    interval_seconds=1,
                )
            keeps_groups(kube, served, seconds=2 * PERIOD_SECONDS)
    assert not faults(busy)
    # What was kept is what the autoscaler ends as soon as it is told again.
    await_groups(kube, served, (1, 1), seconds=AGAIN_SECONDS)
    resources.wait_for(kube, served, NAME, "AutoscalingActive")


def await_groups(kube: Api, namespace: str, wanted: Sequence[int], *, seconds: float) -> None:
    """Until so many are asked for in each zone, and serve."""

    def there() -> bool:
        serving = sum(map(is_ready, resources.pods(kube, namespace, NAME)))
        return groups(kube, namespace) == list(wanted) and serving == sum(wanted)

    wait_until(there, timeout_seconds=seconds, what=f"{wanted} groups", interval_seconds=0.5)


def keeps_groups(kube: Api, namespace: str, *, seconds: float) -> None:
    """All groups are asked for, for so long, or until the server is registered again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = groups(kube, namespace)
        if kube.find(API_SERVICE) is not None:
            return
        assert found == [MOST, MOST], "what is not known ends nothing"
        time.sleep(1)


def decided(kube: Api, namespace: str) -> bool:
    """Whether the status of each zone tells of one group before the first decision and after the last."""
    zones = kube.get(resources.path(namespace, NAME))["status"]["zones"]
    told = [zone.get("autoscaling", {}).get("decisions") or [{}] for zone in zones]
    return all((found[-1].get("before"), found[0].get("after")) == (1, 1) for found in told)


def faults(traffic: Traffic) -> list[str]:
    return [request.fault for request in traffic.requests if request.fault]


def is_deleted_in_time(kube: Api, namespace: str) -> None:
    kube.delete(namespace)
    wait_until(
        lambda: kube.find(namespace) is None,
        timeout_seconds=NAMESPACE_SECONDS,
        what="a namespace that is deleted meanwhile to be gone",
    )


def answers_quickly(cluster: Cluster) -> None:
    """What reads all of discovery does not wait for the server."""
    began = time.monotonic()
    cluster.kubectl("api-resources", "--cached=false")
    took = time.monotonic() - began
    assert took < KUBECTL_SECONDS, f"kubectl took {took:.1f} s"


def says(kube: Api, namespace: str, reason: str) -> bool:
    return condition(kube.get(resources.path(namespace, NAME)), "AutoscalingActive").get("reason") == reason
