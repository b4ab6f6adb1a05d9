"""The cluster loses nodes and zones as real ones do, and gets them back; starting it again harms nothing.

These tests break what the others stand on, and put it together again before they end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from e2e import stack
from e2e.api import Api, Obj, wait_until
from e2e.cluster import ZONES, Cluster
from e2e.host import CommandError
from e2e.tests.conftest import NAMESPACES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

IMAGE = "trireme.dev/engine-double:dev"
PORT = 8000
PROBE = (
    "import socket, sys\n"
    "try:\n"
    "    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2).close()\n"
    "    print('answered')\n"
    "except TimeoutError:\n"
    "    print('silence')\n"
)


@dataclass(frozen=True)
class Servers:
    """One pod with a small HTTP server on each node of a namespace."""

    cluster: Cluster
    kube: Api
    namespace: str

    def address(self, node: str) -> str:
        return str(self._pod(node)["status"].get("podIP", ""))

    def restarts(self, node: str) -> int:
        return sum(each["restartCount"] for each in self._pod(node)["status"].get("containerStatuses", []))

    def ready(self, node: str) -> bool:
        conditions = self._pod(node)["status"].get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def reaches(self, source: str, target: str) -> bool:
        """Whether the pod on node ``source`` gets a connection to the pod on node ``target``."""
        return self.connects(source, self.address(target), PORT)

    def connects(self, source: str, host: str, port: int) -> bool:
        words = ("exec", f"--namespace={self.namespace}", source, "--", "python3", "-c", PROBE, host, str(port))
        return self.cluster.kubectl(*words).strip() == "answered"

    def _pod(self, node: str) -> Obj:
        pod = self.kube.find(f"/api/v1/namespaces/{self.namespace}/pods/{node}")
        assert pod is not None, f"the pod on {node} is gone"
        return pod


@pytest.fixture(scope="module")
def servers(cluster: Cluster, kube: Api, module_namespace: str) -> Servers:
    stack.load(cluster, "engine-double")
    found = Servers(cluster, kube, module_namespace)
    for node, zone in ZONES.items():
        cluster.kubectl("apply", f"--namespace={module_namespace}", "-f", "-", input=manifest(node, zone))
    wait_until(lambda: all(map(found.ready, ZONES)), timeout_seconds=60, what="a ready pod on every node")
    return found


@pytest.fixture(scope="module")
def cut_zone(cluster: Cluster, servers: Servers) -> Iterator[str]:
    """zone-a, cut off from here on: that its node is not ready is noticed after 50 s, and other tests go on meanwhile.

    Leaves a whole cluster behind.
    """
    assert servers.reaches("node-b", "node-a")
    try:
        cluster.cut_zone("zone-a")
        yield "zone-a"
    finally:
        cluster.up()


def manifest(name: str, zone: str) -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels: {{app: {name}}}
spec:
  nodeSelector: {{topology.kubernetes.io/zone: {zone}}}
  terminationGracePeriodSeconds: 0
  tolerations:
    - {{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute}}
    - {{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute}}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    seccompProfile: {{type: RuntimeDefault}}
  containers:
    - name: server
      image: {IMAGE}
      imagePullPolicy: IfNotPresent
      command: [python3, -m, http.server, "{PORT}", --directory, /usr/share]
      readinessProbe: {{httpGet: {{path: /, port: {PORT}}}, periodSeconds: 1}}
      securityContext:
        allowPrivilegeEscalation: false
        capabilities: {{drop: [ALL]}}
"""


def node_ready(cluster: Cluster, name: str) -> bool:
    return any(node.name == name and node.ready for node in cluster.status().nodes)


def test_nodes_are_spread_over_three_zones(cluster: Cluster) -> None:
    status = cluster.status()
    assert {node.name: node.zone for node in status.nodes} == dict(ZONES)
    assert all(node.ready for node in status.nodes)
    assert status.cut_zones == ()


def test_starting_a_running_cluster_changes_nothing_and_is_quick(cluster: Cluster, kube: Api) -> None:
    def identities() -> set[str]:
        return {node["metadata"]["uid"] for node in kube.items("/api/v1/nodes")}

    before = identities()
    started = time.monotonic()
    cluster.up()
    took = time.monotonic() - started
    assert identities() == before
    assert took < 20, f"{took:.1f} s"


def test_pods_reach_each_other_and_names_of_services(servers: Servers) -> None:
    assert servers.reaches("node-a", "node-b")
    assert servers.reaches("node-c", "node-a")
    assert servers.connects("node-b", "kubernetes.default.svc.cluster.local", 443)


def test_a_service_is_reached_from_elsewhere_from_its_node_and_from_its_own_pod(
    cluster: Cluster, servers: Servers
) -> None:
    words = ("expose", "pod", "node-b", "--name=echo", f"--port={PORT}")
    cluster.kubectl(*words, f"--namespace={servers.namespace}")
    cluster.kubectl("apply", f"--namespace={servers.namespace}", "-f", "-", input=manifest("neighbour", "zone-b"))
    wait_until(lambda: servers.ready("neighbour"), timeout_seconds=60, what="the second pod on node-b to be ready")
    for source in ("node-c", "neighbour", "node-b"):
        wait_until(
            partial(servers.connects, source, "echo", PORT),
            timeout_seconds=10,
            ignore=(CommandError,),  # not yet a name
            what=f"the Service to be reached from {source}",
        )


def test_a_cut_zone_is_silent_and_the_others_go_on(cluster: Cluster, servers: Servers, cut_zone: str) -> None:
    assert cluster.status().cut_zones == (cut_zone,)
    assert not servers.reaches("node-b", "node-a")
    assert servers.reaches("node-b", "node-c")


def test_a_stopped_node_takes_its_pods_with_it_and_comes_back(cluster: Cluster, servers: Servers) -> None:
    assert servers.reaches("node-b", "node-c")
    try:
        cluster.stop_node("node-c")
        assert not servers.reaches("node-b", "node-c")
    finally:
        cluster.start_node("node-c")
    assert node_ready(cluster, "node-c")
    wait_until(
        lambda: servers.restarts("node-c") == 1 and servers.ready("node-c"),
        timeout_seconds=90,
        what="the pod on node-c to be started again",
    )
    assert servers.reaches("node-b", "node-c")


def test_a_cut_zone_is_not_ready_in_the_end_and_heals(cluster: Cluster, servers: Servers, cut_zone: str) -> None:
    wait_until(lambda: not node_ready(cluster, "node-a"), timeout_seconds=90, what="node-a to be NotReady")
    cluster.heal_zone(cut_zone)
    wait_until(lambda: node_ready(cluster, "node-a"), timeout_seconds=60, what="node-a to be Ready again")
    assert servers.reaches("node-b", "node-a")
    assert servers.reaches("node-a", "node-b")
    assert servers.restarts("node-a") == 0, "inside the zone nothing stopped"


def test_nothing_keeps_a_namespace_that_a_test_is_done_with(kube: Api) -> None:
    """They may take a minute: while pods have a grace period, the controller looks again only after half of it."""
    deadline = time.monotonic() + 180
    while left := [each["metadata"]["name"] for each in kube.items("/api/v1/namespaces") if _is_done_with(each)]:
        assert time.monotonic() < deadline, f"not gone: {', '.join(left)}"
        time.sleep(1)


def _is_done_with(namespace: Obj) -> bool:
    meta = namespace["metadata"]
    return str(meta["name"]).startswith(NAMESPACES) and "deletionTimestamp" in meta
