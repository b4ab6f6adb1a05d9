"""A real autoscaler follows the queue, with nothing installed for it but Trireme."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from e2e import resources
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

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

HOST = f"{NAME}.test"
BUSY = Shape(per_second=16, tokens=30)
"""Each takes 3 s, so 48 run at a time, half of them in each zone: more than the most groups take at the target."""
LIGHT = Shape(per_second=2, tokens=4, stream=True)
LATE_SECONDS = 5
ROUND_SECONDS = 90
"""Some looks of the autoscaler, and the start or the end of groups."""


@pytest.fixture
def url(cluster: Cluster, kube: Api, namespace: str) -> str:
    """Of a Gateway in the namespace, whose proxy is ready."""
    manifest = (demo.MANIFESTS / "gateway.yaml").read_text()
    cluster.kubectl("apply", "--server-side", "--namespace", namespace, "-f", "-", input=manifest)
    found = demo.gateway_service(kube, namespace)["spec"]["clusterIP"]
    wait_until(
        lambda: available(kube, "envoy-gateway-system"), timeout_seconds=90, what="the gateway's proxy to be ready"
    )
    return f"http://{found}"


def await_groups(kube: Api, namespace: str, wanted: Sequence[int], *, seconds: float) -> None:
    """Until so many are asked for in each zone, and serve."""

    def there() -> bool:
        serving = sum(map(is_ready, resources.pods(kube, namespace, NAME)))
        return groups(kube, namespace) == list(wanted) and serving == sum(wanted)

    wait_until(there, timeout_seconds=seconds, what=f"{wanted} groups", interval_seconds=0.5)


def decided(kube: Api, namespace: str) -> bool:
    """Whether the status of each zone tells of one group before the first decision and after the last."""
    zones = kube.get(resources.path(namespace, NAME))["status"]["zones"]
    told = [zone.get("autoscaling", {}).get("decisions") or [{}] for zone in zones]
    return all((found[-1].get("before"), found[0].get("after")) == (1, 1) for found in told)


def faults(traffic: Traffic) -> list[str]:
    return [request.fault for request in traffic.requests if request.fault]


def test_the_number_of_groups_follows_the_queue_in_two_zones_at_once(
    cluster: Cluster, kube: Api, namespace: str, url: str
) -> None:
    gateway = {"parentRefs": [{"name": demo.GATEWAY}], "hostnames": [HOST]}
    resources.apply(cluster, namespace, scaled(down_at_once=True, gateway=gateway))
    resources.wait_for(kube, namespace, NAME, "Ready")
    said = resources.wait_for(kube, namespace, NAME, "AutoscalingActive", seconds=ACTIVE_SECONDS)
    assert f"served by {METRICS_SERVER}" in condition(said, "AutoscalingActive")["message"]

    with Traffic(cluster, url, HOST, NAME, BUSY) as busy:
        wait_until(
            lambda: max(queue(kube, namespace), default=0) > TARGET,
            timeout_seconds=30,
            what="a queue that is too long",
            ignore=(ApiError,),
            interval_seconds=0.5,
        )
        seen = time.monotonic()
        wait_until(
            lambda: max(groups(kube, namespace)) > 1,
            timeout_seconds=4 * PERIOD_SECONDS,
            what="a group more",
            interval_seconds=0.2,
        )
        took = time.monotonic() - seen
        assert took < PERIOD_SECONDS + LATE_SECONDS, f"{took:.1f} s from the metric to the number"
        await_groups(kube, namespace, (MOST, MOST), seconds=ROUND_SECONDS)
        busy.stop()
    assert not faults(busy)

    with Traffic(cluster, url, HOST, NAME, LIGHT) as light:
        await_groups(kube, namespace, (1, 1), seconds=2 * ROUND_SECONDS)
        light.stop()
    assert light.requests
    assert not faults(light), "groups that end finish what they run"
    wait_until(lambda: decided(kube, namespace), timeout_seconds=30, what="the status to tell of the decisions")

    kube.delete(resources.path(namespace, NAME))
    wait_until(lambda: kube.find(API_SERVICE) is None, timeout_seconds=60, what="the registration to be taken away")
