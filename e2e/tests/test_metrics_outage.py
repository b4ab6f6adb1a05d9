"""A metrics server that fails ends no group, holds nobody up for long, and is back by itself."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from e2e import resources, stack
from e2e.api import Api, ApiError, wait_until
from e2e.cluster import Cluster
from e2e.demo.watch import condition
from e2e.drills import scaling_page
from e2e.drills.traffic import Traffic
from e2e.tests import queued
from e2e.tests.outages import OUTAGES, PODS, Outage
from e2e.tests.queued import API_SERVICE, BUSY, HOST, MOST, NAME, PERIOD_SECONDS, await_groups, faults, groups

pytestmark = [pytest.mark.e2e, pytest.mark.drill, pytest.mark.timeout(1800)]

ROUND_SECONDS = 120
"""Some looks of the autoscaler, and the start or the end of groups."""
NAMESPACE_SECONDS = 30
KUBECTL_SECONDS = 3
SAID_SECONDS = 150
"""An autoscaler that asked just before waits up to a minute for an answer, then comes its next look."""
AGAIN_SECONDS = 360
"""A registration that did harm comes back after a pause, of five minutes at most."""


@pytest.fixture(scope="module")
def url(cluster: Cluster, kube: Api, module_namespace: str) -> str:
    return queued.gateway(cluster, kube, module_namespace)


@pytest.fixture(scope="module")
def served(cluster: Cluster, kube: Api, module_namespace: str, url: str) -> Iterator[str]:
    """The namespace of a resource whose autoscalers read the metric."""
    assert url
    resource = queued.scaled(down_at_once=True, gateway=queued.routed(HOST))
    with queued.serving(cluster, kube, module_namespace, resource):
        yield module_namespace


@pytest.fixture
def doomed(cluster: Cluster) -> str:
    """A namespace that is deleted while the server fails."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    stack.namespace(cluster, name)
    return f"/api/v1/namespaces/{name}"


@pytest.mark.parametrize("outage", [pytest.param(each, id=each.name.replace(" ", "-")) for each in OUTAGES])
def test_a_metrics_server_that_fails_ends_no_group_and_holds_nobody_up(
    cluster: Cluster, kube: Api, *, served: str, url: str, doomed: str, outage: Outage
) -> None:
    resources.wait_for(kube, served, NAME, "AutoscalingActive", seconds=AGAIN_SECONDS)
    row: dict[str, object] = {"outage": outage.name, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    with Traffic(cluster, url, HOST, NAME, BUSY) as busy:
        await_groups(kube, served, (MOST, MOST), seconds=ROUND_SECONDS)
        with outage.fail(cluster, kube):
            failed = time.monotonic()
            row["namespace_seconds"] = deleted_after(kube, doomed)
            row["kubectl_seconds"] = kubectl_takes(cluster)
            busy.stop()
            # One that mends itself may be back before an autoscaler that hangs with it has said anything.
            row["said_seconds"] = None if outage.mends else said_after(kube, served, failed)
            keeps_groups(kube, served, seconds=2 * PERIOD_SECONDS, until_registered=outage.mends)
        mended = failed if outage.mends else time.monotonic()
    row |= {"groups": f"{MOST} and {MOST}", "requests": len(busy.requests)}
    row["failed"] = sum(1 for request in busy.requests if request.fault)
    assert not faults(busy)

    row["registered_seconds"] = answers_after(kube, served, mended)
    # What was kept is what the autoscaler ends as soon as it is told again.
    await_groups(kube, served, (1, 1), seconds=AGAIN_SECONDS)
    row["healed_seconds"] = round(time.monotonic() - mended, 1)
    resources.wait_for(kube, served, NAME, "AutoscalingActive")
    scaling_page.write("outages", [row])
    scaling_page.main(())


def answers_after(kube: Api, namespace: str, since: float) -> float:
    """Seconds until a leader's queue is told again."""
    try:
        wait_until(
            lambda: queued.metric_values(kube, namespace),
            timeout_seconds=AGAIN_SECONDS,
            what="the metrics server to be asked again",
            ignore=(ApiError, OSError),
            interval_seconds=0.5,
        )
    except TimeoutError as error:
        raise AssertionError(f"{error}: {(kube.find(API_SERVICE) or {}).get('status')}; {servers(kube)}") from error
    return round(time.monotonic() - since, 1)


def deleted_after(kube: Api, namespace: str) -> float:
    """Seconds until a namespace that is deleted now is gone. The error shows what kept it, and the registration."""
    began = time.monotonic()
    kube.delete(namespace)
    try:
        wait_until(
            lambda: kube.find(namespace) is None, timeout_seconds=NAMESPACE_SECONDS, what="a deleted namespace to go"
        )
    except TimeoutError as error:
        left = (kube.find(namespace) or {}).get("status")
        ours = (kube.find(API_SERVICE) or {}).get("status")
        raise AssertionError(f"{error}: {left}; registration: {ours}; {servers(kube)}") from error
    return round(time.monotonic() - began, 1)


def kubectl_takes(cluster: Cluster) -> float:
    """Seconds, for what reads all of discovery."""
    began = time.monotonic()
    cluster.kubectl("api-resources", "--cached=false")
    took = time.monotonic() - began
    assert took < KUBECTL_SECONDS, f"kubectl took {took:.1f} s"
    return round(took, 1)


def said_after(kube: Api, namespace: str, since: float) -> float:
    """Seconds until the resource's status says that the metric can't be read."""
    seen: dict[str, object] = {}

    def said() -> bool:
        seen.update(condition(kube.get(resources.path(namespace, NAME)), "AutoscalingActive"))
        return seen.get("reason") == "MetricsUnavailable"

    try:
        wait_until(said, timeout_seconds=SAID_SECONDS, what="the status to say so", interval_seconds=0.5)
    except TimeoutError as error:
        raise AssertionError(f"{error}: {seen}; {servers(kube)}") from error
    return round(time.monotonic() - since, 1)


def keeps_groups(kube: Api, namespace: str, *, seconds: float, until_registered: bool) -> None:
    """All groups are asked for, for so long, or until the server that has mended itself is registered again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = groups(kube, namespace)
        if until_registered and kube.find(API_SERVICE) is not None:
            return
        assert found == [MOST, MOST], f"what is not known ends nothing, and now {found} are asked for; {servers(kube)}"
        time.sleep(1)


def servers(kube: Api) -> str:
    """The metrics server's pods, for a failure's text."""
    found = [(pod["metadata"]["name"], pod["status"].get("containerStatuses")) for pod in kube.items(PODS)]
    return f"servers: {found}"
