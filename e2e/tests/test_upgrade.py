"""An upgrade from the previous release, as it was built and installed then: no pod restarts, either way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import previous, resources, stack
from e2e.api import Api, Obj, wait_until
from e2e.cluster import Cluster
from e2e.progress import step

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NO_SUCH_LAUNCHER = "launcher.image.repository=trireme.dev/no-such-launcher"
"""What this operator renders into new templates: a pod that got one would never start."""
NAMES = ("zoned", "pool")


@pytest.fixture
def release(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """The files of the previous release; this one is installed again at the end, whatever happened."""
    yield previous.unpack(previous.previous_release(), tmp_path / "release")
    stack.load(cluster, "operator")
    stack.install_trireme(cluster)


def test_an_upgrade_restarts_no_pod_and_neither_does_the_way_back(
    cluster: Cluster, kube: Api, namespace: str, release: Path
) -> None:
    install(cluster, release)
    zoned = resources.double("zoned")
    pool = resources.double("pool", zones=())
    pool["spec"] = {key: value for key, value in pool["spec"].items() if key != "zones"} | {"replicas": 2}
    resources.apply(cluster, namespace, zoned, pool)
    for name in NAMES:
        resources.wait_for(kube, namespace, name, "Ready", seconds=180)
    before = seen(kube, namespace)
    assert len(before["pods"]) == 8

    stack.load(cluster, "operator")
    stack.install_trireme(cluster, values=(NO_SUCH_LAUNCHER,))
    wait_until(lambda: told(kube, namespace, newer=True), timeout_seconds=60, what="this operator's status")
    assert seen(kube, namespace) == before
    for name in NAMES:
        assert "newerRendering" in kube.get(resources.path(namespace, name))["status"]

    install(cluster, release)
    wait_until(lambda: told(kube, namespace, newer=False), timeout_seconds=60, what="the previous operator's status")
    assert seen(kube, namespace) == before


def install(cluster: Cluster, release: Path) -> None:
    """Install the previous release with an operator built from its own files."""
    with step("build the operator of the previous release", expected_seconds=60):
        archive = previous.operator(previous.previous_release(), release)
    cluster.load_image(archive)
    stack.install_trireme(cluster, chart=release / "charts" / "trireme", operator=archive)


def seen(kube: Api, namespace: str) -> dict[str, dict[str, object]]:
    """What must not change: the pods, the LeaderWorkerSets' generations, the revisions to the last byte."""
    sets = kube.items(f"/apis/leaderworkerset.x-k8s.io/v1/namespaces/{namespace}/leaderworkersets")
    pods = [pod for name in NAMES for pod in resources.pods(kube, namespace, name)]
    stored = kube.items(f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions")
    return {
        "pods": {uid(pod): restarts(pod) for pod in pods},
        "sets": {uid(each): (each["metadata"]["generation"], each["spec"]) for each in sets},
        "revisions": {uid(each): each for each in stored},
    }


def uid(obj: Obj) -> str:
    return str(obj["metadata"]["uid"])


def restarts(pod: Obj) -> int:
    return sum(int(status["restartCount"]) for status in pod["status"].get("containerStatuses") or [])


def told(kube: Api, namespace: str, *, newer: bool) -> bool:
    """Whether each status is from that operator: only the newer one names revisions."""
    states = [kube.get(resources.path(namespace, name)).get("status") or {} for name in NAMES]
    return all(("revision" in state) is newer for state in states)
