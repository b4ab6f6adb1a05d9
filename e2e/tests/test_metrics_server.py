"""A metrics server that fails ends no group, and holds up no namespace of the cluster for long."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from functools import partial

import pytest

from e2e import processes, resources, stack
from e2e.api import Api, wait_until
from e2e.cluster import Cluster
from e2e.demo.watch import condition
from e2e.tests.queued import ACTIVE_SECONDS, NAME, PERIOD_SECONDS, groups, scaled

pytestmark = [pytest.mark.e2e, pytest.mark.drill, pytest.mark.timeout(600)]

DEPLOYMENT = f"/apis/apps/v1/namespaces/{stack.NAMESPACE}/deployments/trireme-metrics-api"
PODS = f"/api/v1/namespaces/{stack.NAMESPACE}/pods?labelSelector=app.kubernetes.io/component%3Dmetrics-api"
NAMESPACE_SECONDS = 30
KUBECTL_SECONDS = 3
AGAIN_SECONDS = 270
"""The kubelet ends what hangs within a minute, and a registration that did harm comes back after a pause."""


@pytest.fixture(scope="module")
def served(cluster: Cluster, kube: Api, module_namespace: str) -> str:
    """The namespace of a resource with two groups in each of two zones, for want of load the autoscaler's to end."""
    resources.apply(cluster, module_namespace, scaled(replicas=2))
    resources.wait_for(kube, module_namespace, NAME, "Ready")
    return module_namespace


@pytest.fixture(autouse=True)
def working(kube: Api, served: str) -> Iterator[None]:
    """Before and after each test: autoscalers read the metric."""
    resources.wait_for(kube, served, NAME, "AutoscalingActive", seconds=ACTIVE_SECONDS)
    yield
    resources.wait_for(kube, served, NAME, "AutoscalingActive", seconds=AGAIN_SECONDS)
    assert groups(kube, served) == [2, 2]


@pytest.fixture
def doomed(cluster: Cluster) -> str:
    """A namespace that is deleted while the server fails."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    stack.namespace(cluster, name)
    return f"/api/v1/namespaces/{name}"


def test_a_server_that_is_gone(cluster: Cluster, kube: Api, served: str, doomed: str) -> None:
    before = kube.get(DEPLOYMENT)["spec"]["replicas"]
    kube.merge_patch(DEPLOYMENT, {"spec": {"replicas": 0}})
    try:
        wait_until(lambda: not kube.items(PODS), timeout_seconds=60, what="the metrics server to be gone")
        is_deleted_in_time(kube, doomed)
        answers_quickly(cluster)
        wait_until(
            partial(says, kube, served, "MetricsUnavailable"),
            timeout_seconds=4 * PERIOD_SECONDS,
            what="the status to say so",
            interval_seconds=1,
        )
        assert groups(kube, served) == [2, 2], "what is not known ends nothing"
    finally:
        kube.merge_patch(DEPLOYMENT, {"spec": {"replicas": before}})


def test_a_server_that_hangs(cluster: Cluster, kube: Api, served: str, doomed: str) -> None:
    """Its sockets accept and nobody answers, until the kubelet ends it."""
    found = [pid for pod in kube.items(PODS) for pid in processes.of_pod(pod["metadata"]["uid"])]
    servers = [pid for pid in found if "trireme_operator.metricsapi" in processes.command_line(pid)]
    assert servers, "no process of the metrics server on this machine"
    for pid in servers:
        os.kill(pid, signal.SIGSTOP)
    is_deleted_in_time(kube, doomed)
    answers_quickly(cluster)
    assert groups(kube, served) == [2, 2]


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
