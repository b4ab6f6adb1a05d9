"""One API server with etcd for the whole run, a namespace for each test.

A start of an API server and its CRDs takes five seconds of a processor: only tests that take away what others need have
one of their own. All tests are in one event loop, so that they share a connection.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from e2e.cluster.controlplane import ControlPlane
from tests.integration.audit import POLICY
from tests.integration.definitions import (
    envoy_gateway_crds,
    gateway_crds,
    inference_extension_crds,
    keda_crds,
    lws_crds,
    monitoring_crds,
    our_crds,
)
from tests.integration.server import (
    OPERATOR_USER,
    SYSTEM,
    Hands,
    Operator,
    connected,
    running_operator,
)
from trireme_operator.kube import (
    BACKEND_TRAFFIC_POLICY,
    GATEWAY,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    INFERENCE_POOL,
    LEADER_WORKER_SET,
    POD_MONITOR,
)

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)
            if pytest_asyncio.is_async_test(item):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server and its etcd, with every CRD that an operator may need, and an audit log."""

    async def install(plane: ControlPlane) -> None:
        async with connected(plane.kubeconfig) as hands:
            await hands.install([*our_crds(), *lws_crds(), *gateway_crds()])
            await hands.install([*envoy_gateway_crds(), *monitoring_crds(), *keda_crds(), *inference_extension_crds()])
            await hands.served(INFERENCE_CLUSTER, LEADER_WORKER_SET, HTTP_ROUTE, GATEWAY, POD_MONITOR)
            await hands.served(BACKEND_TRAFFIC_POLICY, INFERENCE_POOL)
            await hands.namespace(SYSTEM)
            await hands.allow_operator()

    folder = tmp_path_factory.mktemp("plane")
    policy = folder / "policy.yaml"
    policy.write_text(yaml.safe_dump(POLICY))
    with ControlPlane(folder, audit_policy=policy) as plane:
        asyncio.run(install(plane))
        yield plane


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def hands(plane: ControlPlane) -> AsyncIterator[Hands]:
    async with connected(plane.kubeconfig) as connection:
        yield connection


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(hands: Hands) -> AsyncIterator[str]:
    name = f"test-{next(_numbers)}"
    await hands.namespace(name)
    yield name
    await hands.clear(name)


@pytest.fixture(scope="session")
def rules_namespace(plane: ControlPlane) -> str:
    """One namespace for all tests whose object is refused anyway."""

    async def make() -> None:
        async with connected(plane.kubeconfig) as hands:
            await hands.namespace("rules")

    asyncio.run(make())
    return "rules"


@pytest.fixture(scope="session")
def operator_kubeconfig(plane: ControlPlane) -> Path:
    """The kubeconfig of a user with the operator's rights."""
    return plane.client("operator", common_name=OPERATOR_USER)


@pytest.fixture(scope="module")
def operator_process(operator_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """One operator process for a module; it serves all namespaces, so it must not outlive the tests that want it."""
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    with running_operator(operator_kubeconfig, log) as process:
        asyncio.run(process.ready())
        yield process
