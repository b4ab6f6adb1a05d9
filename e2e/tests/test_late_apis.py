"""LeaderWorkerSet and the Gateway API installed after the operator: conditions, never a crash.

Runs first, on a cluster where nothing is served yet. Where they are installed they are removed before, and with a CRD
every object of its kind.
"""

from __future__ import annotations

import pytest

from e2e import components, resources
from e2e.api import Api
from e2e.cluster import Cluster
from e2e.demo.watch import condition
from e2e.tests.test_reconcile import GATEWAY

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


@pytest.fixture(scope="module", autouse=True)
def measurements(cluster: Cluster) -> None:
    """metrics-server wants a round of measurements before it answers, and takes it while the others are installed."""
    components.install_metrics_server(cluster, wait=False)


def test_leaderworkerset_installed_after_the_operator_is_picked_up(cluster: Cluster, kube: Api, namespace: str) -> None:
    components.remove_lws(cluster)
    try:
        resources.apply(cluster, namespace, resources.double("early", zones=("zone-a",)))
        seen = resources.wait_for(kube, namespace, "early", "Accepted", "False", seconds=30)
        accepted = condition(seen, "Accepted")
        assert accepted["reason"] == "LeaderWorkerSetMissing"
        assert "install" in accepted["message"].lower()
    finally:
        components.install_lws(cluster)
    resources.wait_for(kube, namespace, "early", "Ready", seconds=60)


def test_the_gateway_api_installed_after_the_operator_is_picked_up(cluster: Cluster, kube: Api, namespace: str) -> None:
    components.remove_gateway(cluster)
    try:
        resources.apply(cluster, namespace, resources.double("routed", zones=("zone-a",), gateway=GATEWAY))
        seen = resources.wait_for(kube, namespace, "routed", "RoutesProgrammed", "False", seconds=60)
        assert "Gateway API" in condition(seen, "RoutesProgrammed")["message"]
        resources.wait_for(kube, namespace, "routed", "Available", seconds=120)
    finally:
        components.install_gateway(cluster)
    cluster.kubectl("apply", "-n", namespace, "-f", "e2e/demo/manifests/gateway.yaml")
    resources.wait_for(kube, namespace, "routed", "RoutesProgrammed", seconds=120)
