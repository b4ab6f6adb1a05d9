"""The parts of the cluster, installed again over themselves."""

from __future__ import annotations

import json
import sys
import time

import pytest

from e2e import components
from e2e.cluster import Cluster
from e2e.host import run

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


def test_a_gateway_of_the_class_envoy_answers(cluster: Cluster, namespace: str) -> None:
    gateway = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "front", "namespace": namespace},
        "spec": {"gatewayClassName": "envoy", "listeners": [{"name": "http", "protocol": "HTTP", "port": 80}]},
    }
    cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(gateway))
    named = ("gateway/front", f"--namespace={namespace}")
    cluster.kubectl("wait", "--for=condition=Programmed", *named, "--timeout=90s")
    address = cluster.kubectl("get", *named, "--output=jsonpath={.status.addresses[0].value}")
    script = f"""
import http.client
connection = http.client.HTTPConnection("{address}", timeout=5)
connection.request("GET", "/")
print(connection.getresponse().status)
"""
    assert run(cluster.command(sys.executable, "-c", script)).strip() == "404"  # Envoy's own: there is no route yet


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
