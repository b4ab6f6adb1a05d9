"""What every end-to-end test stands on: a running cluster of the project's own, and a namespace of the test's own.

The tests never start or choose anything outside it: ``e2e.cluster`` hands out only kubeconfigs that it wrote.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest

from e2e import api, stack
from e2e.api import Api
from e2e.cluster import Cluster, choose
from e2e.demo import __main__ as demo

ORDER = (
    "test_late_apis",  # removes APIs, so nothing may be served yet
    "test_components",  # installs them again and again
    "test_gateway",
    "test_conditions",
    "test_models",
    "test_engine",
    "test_local_cluster",
    "test_autoscaling",
    "test_autoscaling_queue",
    "test_queue_step",
    "test_metrics_outage",
    "test_zones",
    "test_load",  # drains a node of its own pods, too
    "test_reconcile",  # kills operators
    "test_disruption",  # drains nodes of its own pods, and moves one to another zone
    "test_uninstall",  # and installs it again
    "test_upgrade",  # installs another version for a while
    "test_zone_cut",
    "test_cluster",  # stops nodes and cuts zones, and looks whether all namespaces of tests are gone
)
"""The modules in the order in which they share one cluster."""

NAMESPACES = "e2e-"
"""How the names of all namespaces of tests begin."""


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


@pytest.fixture
def namespace(cluster: Cluster, kube: Api) -> Iterator[str]:
    """A namespace of the test's own, under Pod Security ``restricted``."""
    yield from _namespace(cluster, kube)


@pytest.fixture(scope="module")
def module_namespace(cluster: Cluster, kube: Api) -> Iterator[str]:
    """A namespace of the module's own, under Pod Security ``restricted``."""
    yield from _namespace(cluster, kube)


def _namespace(cluster: Cluster, kube: Api) -> Iterator[str]:
    """Nobody waits for its end, which may take a minute: the last test of all looks for those that are left."""
    name = f"{NAMESPACES}{uuid.uuid4().hex[:8]}"
    stack.namespace(cluster, name)
    yield name
    kube.delete(f"/api/v1/namespaces/{name}")
