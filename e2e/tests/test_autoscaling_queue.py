"""A real autoscaler follows the queue, with nothing installed for it but Trireme."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from e2e import resources
from e2e.api import Api, ApiError, wait_until
from e2e.cluster import Cluster
from e2e.drills.client import Shape
from e2e.drills.traffic import Traffic
from e2e.tests import queued
from e2e.tests.queued import BUSY, HOST, MOST, NAME, PERIOD_SECONDS, TARGET, await_groups, faults, groups, queue

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

LIGHT = Shape(per_second=2, tokens=4, stream=True)
LATE_SECONDS = 5
ROUND_SECONDS = 90
"""Some looks of the autoscaler, and the start or the end of groups."""


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


def decided(kube: Api, namespace: str) -> bool:
    """Whether the status of each zone tells of one group before the first decision and after the last."""
    zones = kube.get(resources.path(namespace, NAME))["status"]["zones"]
    told = [zone.get("autoscaling", {}).get("decisions") or [{}] for zone in zones]
    return all((found[-1].get("before"), found[0].get("after")) == (1, 1) for found in told)
