"""APIs that come and go while the operator runs; an API server of its own, since CRDs are everybody's."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from e2e.cluster.controlplane import ControlPlane
from tests.integration.definitions import gateway_crds, inference_extension_crds, lws_crds, our_crds
from tests.integration.server import (
    OPERATOR_USER,
    Hands,
    Operator,
    condition,
    connected,
    running_operator,
    until,
)
from tests.unit.controller_samples import resource
from trireme_operator.kube import (
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    INFERENCE_POOL,
    LEADER_WORKER_SET,
    SERVICE,
    ApiMissing,
    Kind,
)

NAMESPACE = "late"


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[tuple[ControlPlane, Operator]]:
    """An API server without any CRD, and the operator on it."""

    async def prepare(plane: ControlPlane) -> None:
        async with connected(plane.kubeconfig) as hands:
            await hands.allow_operator()
            await hands.namespace(NAMESPACE)

    with ControlPlane(tmp_path / "plane", name="trireme-test-late") as plane:
        asyncio.run(prepare(plane))
        kubeconfig = plane.client("operator", common_name=OPERATOR_USER)
        with running_operator(kubeconfig, tmp_path / "operator.log") as operator:
            asyncio.run(operator.ready())
            yield plane, operator


@pytest_asyncio.fixture(loop_scope="session")
async def late_hands(bare: tuple[ControlPlane, Operator]) -> AsyncIterator[Hands]:
    async with connected(bare[0].kubeconfig) as hands:
        yield hands


async def test_apis_and_the_server_itself_come_and_go(late_hands: Hands, bare: tuple[ControlPlane, Operator]) -> None:
    hands, (plane, operator) = late_hands, bare
    reason, made = partial(until_reason, hands), partial(until_made, hands)

    await hands.install(our_crds())
    await hands.served(INFERENCE_CLUSTER)
    obj = resource(gateway={"parentRefs": [{"name": "edge", "namespace": "infra"}], "endpointPicker": {}})
    obj["metadata"] = {"name": "llm", "namespace": NAMESPACE}
    await hands.create(INFERENCE_CLUSTER, obj)
    await reason("Accepted", "LeaderWorkerSetMissing")
    await made(SERVICE, 3)

    await hands.install(lws_crds())
    await made(LEADER_WORKER_SET, 2)
    await reason("Accepted", "GatewayAPIMissing")

    await hands.install(gateway_crds())
    await made(HTTP_ROUTE, 1)
    await reason("Accepted", "Valid")
    await reason("RoutesProgrammed", "GatewayNotFound")

    await pools_come_and_go(hands)

    # A kind that came late is watched as well: its objects are repaired.
    await hands.delete(LEADER_WORKER_SET, NAMESPACE, "llm-zone-a")
    await made(LEADER_WORKER_SET, 2)

    await hands.uninstall(lws_crds())
    await reason("Accepted", "LeaderWorkerSetMissing")
    assert operator.running
    await hands.install(lws_crds())
    await made(LEADER_WORKER_SET, 2)
    await reason("Accepted", "Valid")
    assert operator.running

    # An outage: the watches come back, and what was missed is seen.
    server = plane.api_server()
    server.stop()
    await asyncio.sleep(3)
    server.start()
    await asyncio.to_thread(server.wait, plane.ready, seconds=120)
    await hands.delete(LEADER_WORKER_SET, NAMESPACE, "llm-zone-a")
    await made(LEADER_WORKER_SET, 2)
    assert operator.running


async def pools_come_and_go(hands: Hands) -> None:
    """What the route leads to follows what the API server serves."""
    await until(partial(leads_to, hands, "Service"), seconds=30)
    await hands.install(inference_extension_crds())
    await until_made(hands, INFERENCE_POOL, 2)
    await until(partial(leads_to, hands, "InferencePool"), seconds=30)
    await hands.uninstall(inference_extension_crds())
    await until(partial(leads_to, hands, "Service"), seconds=30)


async def leads_to(hands: Hands, kind: str) -> bool:
    (route,) = await hands.api.list(HTTP_ROUTE, NAMESPACE)
    return {ref["kind"] for ref in route["spec"]["rules"][0]["backendRefs"]} == {kind}


async def until_reason(hands: Hands, kind: str, wanted: str) -> None:
    async def told() -> bool:
        return (await condition(hands, NAMESPACE, kind)).get("reason") == wanted

    await until(told)


async def until_made(hands: Hands, kind: Kind, count: int) -> None:
    async def there() -> bool:
        try:
            return len(await hands.api.list(kind, NAMESPACE)) == count
        except ApiMissing:
            return False

    await until(there)
