"""A Gateway of the installed class, before there is anything behind it."""

from __future__ import annotations

import json
import sys

import pytest

from e2e.api import wait_until
from e2e.cluster import Cluster
from e2e.host import CommandError, run

pytestmark = pytest.mark.e2e


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

    def answers() -> bool:
        return run(cluster.command(sys.executable, "-c", script)).strip() == "404"  # Envoy's own: there is no route yet

    # Programmed says that an Envoy is ready; until kube-proxy has heard of it too, the address refuses connections.
    wait_until(
        answers, timeout_seconds=30, interval_seconds=1, ignore=(CommandError,), what="the gateway to answer 404"
    )
