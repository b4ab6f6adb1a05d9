"""A real autoscaler, fed by metrics-server, changes the number of groups, and every switch leaves what serves."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import pytest

from e2e import components, resources
from e2e.api import Api, Obj, wait_until
from e2e.cluster import Cluster
from e2e.demo.watch import condition

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NAME = "scaled"
ZONE = "zone-a"
SET = f"{NAME}-{ZONE}"
SETTLE: Obj = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Groups", "value": 3, "periodSeconds": 15}]}
BURNING = "/tmp/burning"
BURN = """
import os, sys, time
open(sys.argv[1], "w").close()
end = time.monotonic() + 240
while time.monotonic() < end and os.path.exists(sys.argv[1]):
    busy = time.thread_time() + 0.01
    while time.thread_time() < busy:
        pass
    time.sleep(0.03)
"""
"""A quarter of a processor, five times what a pod asks for, until its file is removed."""
ROUND_SECONDS = 150
"""Metrics are a quarter of a minute old and one as long in the making, and a round of the autoscaler is a quarter."""

ROUNDS_SECONDS = 35
"""Two looks of the autoscaler, and some."""


@pytest.fixture(scope="module")
def metrics(cluster: Cluster) -> None:
    components.install_metrics_server(cluster)


def scaled(*, least: int = 1, most: int = 3, **zone: Any) -> Obj:
    """A resource with one zone, whose groups are one pod each and scaled down without delay."""
    resource = resources.double(
        NAME,
        pipeline=1,
        resources={"requests": {"cpu": "50m", "memory": "64Mi"}, "sharedMemory": "16Mi"},
        autoscaling={
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": {"cpu": 80},
            "behavior": {"scaleDown": SETTLE},
        },
    )
    resource["spec"]["zones"] = [{"name": ZONE, **zone}]
    return resource


def fixed(replicas: int) -> Obj:
    resource = scaled(replicas=replicas)
    del resource["spec"]["autoscaling"]
    return resource


def groups(kube: Api, namespace: str) -> int:
    live = kube.get(f"/apis/leaderworkerset.x-k8s.io/v1/namespaces/{namespace}/leaderworkersets/{SET}")
    return int(live["spec"]["replicas"])


def serving(kube: Api, namespace: str) -> set[str]:
    """The UIDs of the pods that are ready and stay."""
    return {
        pod["metadata"]["uid"]
        for pod in resources.pods(kube, namespace, NAME)
        if "deletionTimestamp" not in pod["metadata"]
        and any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
    }


def are(kube: Api, namespace: str, number: int) -> bool:
    """Whether so many groups are asked for, serve, and are told in the status."""
    zone = kube.get(resources.path(namespace, NAME)).get("status", {}).get("zones", [{}])[0]
    told = (zone.get("groups"), zone.get("readyGroups"))
    return told == (number, number) and groups(kube, namespace) == number == len(serving(kube, namespace))


def desired(kube: Api, namespace: str) -> int:
    zone = kube.get(resources.path(namespace, NAME))["status"]["zones"][0]
    return int(zone["autoscaling"]["desired"])


def await_groups(kube: Api, namespace: str, number: int) -> None:
    wait_until(
        partial(are, kube, namespace, number),
        timeout_seconds=ROUND_SECONDS,
        what=f"{number} groups",
        interval_seconds=1,
    )


@pytest.mark.usefixtures("metrics")
def test_groups_follow_the_load_up_and_down(cluster: Cluster, kube: Api, namespace: str) -> None:
    resources.apply(cluster, namespace, scaled())
    resources.wait_for(kube, namespace, NAME, "Ready")
    resources.wait_for(kube, namespace, NAME, "AutoscalingActive", seconds=ROUND_SECONDS)
    (first,) = serving(kube, namespace)
    execute = partial(cluster.kubectl, "exec", f"--namespace={namespace}", f"{SET}-0", "--container=engine", "--")
    load = threading.Thread(target=execute, args=("python3", "-c", BURN, BURNING), daemon=True)
    load.start()
    wait_until(
        lambda: groups(kube, namespace) > 1,
        timeout_seconds=ROUND_SECONDS,
        what="a group more under load",
        interval_seconds=0.5,
    )
    wait_until(
        lambda: len(serving(kube, namespace)) > 1,
        timeout_seconds=60,
        what="a second group to serve",
        interval_seconds=1,
    )
    assert first in serving(kube, namespace)
    execute("rm", BURNING)
    load.join()
    await_groups(kube, namespace, 1)
    assert serving(kube, namespace) == {first}, "the groups of the highest index end first"
    wait_until(lambda: desired(kube, namespace) == 1, timeout_seconds=30, what="the status to say what is desired")


@pytest.mark.usefixtures("metrics")
def test_no_switch_ends_a_group_that_is_asked_for(cluster: Cluster, kube: Api, namespace: str) -> None:
    resources.apply(cluster, namespace, scaled())
    resources.wait_for(kube, namespace, NAME, "Ready")
    resources.apply(cluster, namespace, scaled(least=2))
    await_groups(kube, namespace, 2)
    both = serving(kube, namespace)
    resources.apply(cluster, namespace, fixed(2))
    autoscaler = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{SET}"
    wait_until(lambda: kube.find(autoscaler) is None, timeout_seconds=20, what="the autoscaler to be gone")
    resources.wait_for(kube, namespace, NAME, "Ready")
    assert serving(kube, namespace) == both, "switched off, and the number stayed"
    resources.apply(cluster, namespace, scaled(least=2))
    resources.wait_for(kube, namespace, NAME, "AutoscalingActive", seconds=ROUND_SECONDS)
    assert serving(kube, namespace) == both, "switched on again, and the number stayed"
    resources.apply(cluster, namespace, scaled(least=2, state="Disabled"))
    wait_until(
        lambda: not resources.pods(kube, namespace, NAME), timeout_seconds=90, what="the disabled zone to be empty"
    )
    assert groups(kube, namespace) == 0
    resources.apply(cluster, namespace, scaled(least=2))
    await_groups(kube, namespace, 2)


@pytest.mark.drill
@pytest.mark.parametrize("metric", ["cpu", "memory"])
def test_without_metrics_server_the_number_stays_and_the_status_says_what_to_do(
    cluster: Cluster, kube: Api, namespace: str, metric: str
) -> None:
    resource = scaled(replicas=2)
    resource["spec"]["autoscaling"]["metrics"] = {metric: 80}
    resource["spec"]["resources"]["requests"]["memory"] = "256Mi"  # several times what a pod takes
    components.remove_metrics_server(cluster)
    try:
        resources.apply(cluster, namespace, resource)
        seen = resources.wait_for(kube, namespace, NAME, "AutoscalingActive", "False", seconds=ROUND_SECONDS)
        assert "install metrics-server" in condition(seen, "AutoscalingActive")["message"]
        await_groups(kube, namespace, 2)
        time.sleep(ROUNDS_SECONDS)
        assert are(kube, namespace, 2), "nobody knows how busy they are, so nobody ends one"
    finally:
        components.install_metrics_server(cluster)
    resources.wait_for(kube, namespace, NAME, "AutoscalingActive", seconds=ROUND_SECONDS)
    await_groups(kube, namespace, 1)
