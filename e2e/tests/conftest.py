"""What every end-to-end test stands on: a running cluster of the project's own, and a namespace of the test's own.

The tests never start or choose anything outside it: ``e2e.cluster`` hands out only kubeconfigs that it wrote.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from functools import partial

import pytest

from e2e import api, stack
from e2e.api import Api
from e2e.cluster import Cluster, choose
from e2e.demo import __main__ as demo

ORDER = (
    "test_late_apis",  # removes APIs, so nothing may be served yet
    "test_components",  # installs them again and again
    "test_conditions",  # meanwhile the real engine loads its models
    "test_engine",
    "test_local_cluster",
    "test_autoscaling",
    "test_autoscaling_queue",
    "test_queue_step",
    "test_metrics_outage",
    "test_reconcile",
    "test_models",
    "test_load",  # drains a node of its own pods, too, and cuts a zone off
    "test_disruption",  # drains nodes of its own pods, and moves one to another zone
    "test_uninstall",  # and installs it again
    "test_upgrade",  # installs another version for a while
    "test_cluster",  # stops nodes and cuts zones
)
"""The modules in the order in which they share one cluster."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the modules; tests keep their order in their module. Raises ValueError for a module without a place."""
    items.sort(key=lambda item: ORDER.index(item.path.stem))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once why a test failed: the whole run takes minutes, and its cluster is worth a look while it stands."""
    if report.failed:
        print(f"\n{report.nodeid} ({report.when}), {time.strftime('%H:%M:%S')}\n{report.longreprtext}", flush=True)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The running cluster, with the engine double on its nodes. Without one the tests fail, and are never skipped."""
    chosen = choose()
    if not chosen.status().api_ready:
        pytest.fail(
            f"the cluster {chosen.name} is not running; start it with `python -m e2e.cluster up`", pytrace=False
        )
    stack.load(chosen, "engine-double")
    return chosen


@pytest.fixture(scope="session")
def kube(cluster: Cluster) -> Iterator[Api]:
    with api.connect(cluster) as connection:
        yield connection


@pytest.fixture(scope="session")
def engine_loading(cluster: Cluster) -> None:
    """The demo's resource and the sample with tensor parallelism are applied: their models load from now on."""
    demo.apply(cluster)
    sample = stack.REPOSITORY / "samples" / "smollm2-tp3.yaml"
    cluster.kubectl("apply", "--server-side", "--namespace", demo.NAMESPACE, "-f", str(sample))


@pytest.fixture(scope="session")
def ended_namespaces(kube: Api) -> Iterator[list[str]]:
    """Namespaces whose deletion has begun; after the last test all of them must be gone.

    Not after each test: while pods have a grace period, the namespace controller looks again only after half of it.
    """
    ended: list[str] = []
    yield ended
    for name in ended:
        api.wait_until(
            partial(_is_gone, kube, name), timeout_seconds=180, what=f"namespace {name} to be gone", interval_seconds=1
        )


@pytest.fixture
def namespace(cluster: Cluster, kube: Api, ended_namespaces: list[str]) -> Iterator[str]:
    """A namespace of the test's own, under Pod Security ``restricted``."""
    yield from _namespace(cluster, kube, ended_namespaces)


@pytest.fixture(scope="module")
def module_namespace(cluster: Cluster, kube: Api, ended_namespaces: list[str]) -> Iterator[str]:
    """A namespace of the module's own, under Pod Security ``restricted``."""
    yield from _namespace(cluster, kube, ended_namespaces)


def _namespace(cluster: Cluster, kube: Api, ended: list[str]) -> Iterator[str]:
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    stack.namespace(cluster, name)
    yield name
    kube.delete(f"/api/v1/namespaces/{name}")
    ended.append(name)


def _is_gone(kube: Api, namespace: str) -> bool:
    return kube.find(f"/api/v1/namespaces/{namespace}") is None
