"""The parts of the cluster, installed again over themselves."""

from __future__ import annotations

import json
import time

import pytest

from e2e import components
from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e

WRITTEN = (
    ("deployments,services,configmaps,secrets,serviceaccounts,roles,rolebindings", "lws-system"),
    ("deployments,services,configmaps,secrets,serviceaccounts,roles,rolebindings,envoyproxies", "envoy-gateway-system"),
    ("deployments,services,serviceaccounts", "kube-system"),
    ("customresourcedefinitions,clusterroles,clusterrolebindings,gatewayclasses", ""),
    ("mutatingwebhookconfigurations,validatingwebhookconfigurations,apiservices", ""),
)


def generations(cluster: Cluster) -> dict[tuple[str, str], tuple[str, object]]:
    """The identity of every object of the parts, with what changes when its content is written.

    That is the generation where there is one, because a status may move by itself, else the resource version.
    """
    found = {}
    for kinds, namespace in WRITTEN:
        answer = json.loads(cluster.kubectl("get", kinds, f"--namespace={namespace}", "--output=json"))
        for item in answer["items"]:
            meta = item["metadata"]
            written = meta.get("generation", meta["resourceVersion"])
            found[item["kind"], f"{namespace}/{meta['name']}"] = (meta["uid"], written)
    return found


def test_a_second_installation_changes_nothing(cluster: Cluster) -> None:
    components.install(cluster)
    before = generations(cluster)
    components.install(cluster)
    assert generations(cluster) == before
    assert ("Deployment", "envoy-gateway-system/envoy-gateway") in before


def test_an_installation_repairs_what_was_changed_by_hand(cluster: Cluster) -> None:
    deployment = ("deployment/lws-controller-manager", "--namespace=lws-system")
    cluster.kubectl("scale", *deployment, "--replicas=0")
    components.install_lws(cluster)
    assert cluster.kubectl("get", *deployment, "--output=jsonpath={.status.readyReplicas}") == "1"


def test_the_metrics_of_every_node_are_served(cluster: Cluster) -> None:
    components.install_metrics_server(cluster)
    deadline = time.monotonic() + 60
    while True:
        answer = json.loads(cluster.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"))
        names = {item["metadata"]["name"] for item in answer["items"]}
        if names == {node.name for node in cluster.status().nodes}:
            return
        assert time.monotonic() < deadline, f"metrics only of {sorted(names)}"
        time.sleep(2)
