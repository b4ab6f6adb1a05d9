"""The operator's real process with no more rights than the chart gives it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.controlplane import ControlPlane
from scripts import chart
from tests.integration.definitions import (
    envoy_gateway_crds,
    gateway_crds,
    inference_extension_crds,
    lws_crds,
    monitoring_crds,
    our_crds,
)
from tests.integration.server import (
    Hands,
    connected,
    running_operator,
    until,
)
from tests.unit.models import SMOLLM2
from trireme_operator.kube import (
    BACKEND_TRAFFIC_POLICY,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    GATEWAY,
    HORIZONTAL_POD_AUTOSCALER,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    INFERENCE_POOL,
    LEADER_WORKER_SET,
    NETWORK_POLICY,
    POD_DISRUPTION_BUDGET,
    POD_MONITOR,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
    NotFound,
    TooManyRequests,
)

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CHILDREN = {
    LEADER_WORKER_SET: 2,
    SERVICE: 3,
    SERVICE_ACCOUNT: 1,
    CONTROLLER_REVISION: 1,
    POD_DISRUPTION_BUDGET: 2,
    NETWORK_POLICY: 2,
    POD_MONITOR: 1,
    HORIZONTAL_POD_AUTOSCALER: 2,
    BACKEND_TRAFFIC_POLICY: 1,
    INFERENCE_POOL: 2,
    HTTP_ROUTE: 1,
}
"""How many of each kind the sample with two autoscaled zones, a route and a NetworkPolicy needs."""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("rights")) as running:
        asyncio.run(_install_crds(running))
        yield running


async def _install_crds(plane: ControlPlane) -> None:
    async with connected(plane.kubeconfig) as hands:
        await hands.install([*our_crds(), *lws_crds(), *gateway_crds(), *envoy_gateway_crds(), *monitoring_crds()])
        await hands.install(inference_extension_crds())
        await hands.namespace(chart.NAMESPACE)


def identity(plane: ControlPlane, release: str, *values: str) -> Path:
    """Grant what the chart grants, and return the kubeconfig of who gets it."""
    rights = [obj for obj in chart.template(*values, release=release) if obj["apiVersion"].startswith("rbac.")]
    plane.kubectl("apply", "--server-side", "--filename=-", text=yaml.safe_dump_all(rights))
    account = f"{release}-trireme"
    return plane.client(release, common_name=f"system:serviceaccount:{chart.NAMESPACE}:{account}")


def sample(namespace: str) -> dict[str, Any]:
    obj: dict[str, Any] = yaml.safe_load((ROOT / "samples" / "smollm2-pp2.yaml").read_text())
    obj["metadata"]["namespace"] = namespace
    obj["spec"]["model"]["config"] = {"configMap": "smollm2"}
    obj["spec"]["autoscaling"] = {"maxReplicas": 2, "metrics": {"cpu": 70}}
    obj["spec"]["gateway"] |= {"policy": "Careful", "endpointPicker": {}}
    obj["spec"]["networkPolicy"] = {"from": [{"podSelector": {}}]}
    return obj


@pytest.mark.parametrize("only", [pytest.param("", id="all namespaces"), pytest.param("served", id="one namespace")])
async def test_the_charts_rights_are_enough_for_all_that_the_operator_does(
    plane: ControlPlane, tmp_path: Path, only: str
) -> None:
    namespace = only or "anywhere"
    values = ("--set", f"namespaces={{{only}}}") if only else ()
    log = tmp_path / "operator.log"
    async with connected(plane.kubeconfig) as hands:
        await hands.namespace(namespace)
        user, lease = identity(plane, namespace, *values), f"{chart.NAMESPACE}/{namespace}-trireme"
        with running_operator(user, log, namespaces=only, lease=lease) as operator:
            await operator.ready()
            await work(hands, namespace)
            refused = [name for name in operator.metrics() if '"403"' in name]

    said = log.read_text()
    assert not refused
    assert "orbidden" not in said, said[-3000:]
    assert "Not enough permissions" not in said, said[-3000:]


async def work(hands: Hands, namespace: str) -> None:
    """Everything that takes a right: create, report, read a gateway and a model's config, repair, prune."""
    gateway = {"gatewayClassName": "x", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}
    await hands.create(GATEWAY, {"metadata": {"name": "inference", "namespace": namespace}, "spec": gateway})
    config = {"metadata": {"name": "smollm2", "namespace": namespace}, "data": {"config.json": json.dumps(SMOLLM2)}}
    await hands.create(CONFIG_MAP, config)
    await hands.create(INFERENCE_CLUSTER, sample(namespace))
    for kind, count in CHILDREN.items():
        await until(partial(has, hands, kind, namespace, count))
    await until(partial(reported, hands, namespace))

    for kind in CHILDREN:
        (victim, *_) = await children(hands, kind, namespace)
        await hands.delete(kind, namespace, victim["metadata"]["name"])
        await until(partial(replaced, hands, kind, victim["metadata"]), seconds=10)

    live = await hands.api.get(INFERENCE_CLUSTER, namespace, "smollm2")
    await hands.merge(INFERENCE_CLUSTER, namespace, "smollm2", {"spec": {"zones": live["spec"]["zones"][:1]}})
    await until(partial(has, hands, LEADER_WORKER_SET, namespace, 1))
    await until(partial(has, hands, SERVICE, namespace, 2))

    for change, reason in ((31, "InvalidSpec"), (2, "Valid")):
        await hands.merge(INFERENCE_CLUSTER, namespace, "smollm2", {"spec": {"parallelism": {"pipeline": change}}})
        await until(partial(accepted, hands, namespace, reason))
    await hands.merge(INFERENCE_CLUSTER, namespace, "smollm2", {"spec": {"model": {"config": {"configMap": "gone"}}}})
    await until(partial(accepted, hands, namespace, "ModelConfigUnreadable"))


async def accepted(hands: Hands, namespace: str, reason: str) -> bool:
    live = await hands.api.get(INFERENCE_CLUSTER, namespace, "smollm2")
    conditions = (live.get("status") or {}).get("conditions") or []
    seen = [item for item in conditions if item["type"] == "Accepted"]
    generation = live["metadata"]["generation"]
    return any(item["reason"] == reason and item["observedGeneration"] == generation for item in seen)


async def children(hands: Hands, kind: Kind, namespace: str) -> list[dict[str, Any]]:
    return await hands.api.list(kind, namespace, labels="trireme.dev/cluster=smollm2")


async def has(hands: Hands, kind: Kind, namespace: str, count: int) -> bool:
    try:
        return len(await children(hands, kind, namespace)) == count
    except TooManyRequests:  # the API server still prepares a kind that was installed a moment ago
        return False


async def reported(hands: Hands, namespace: str) -> bool:
    live = await hands.api.get(INFERENCE_CLUSTER, namespace, "smollm2")
    conditions = (live.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Accepted" and item["status"] == "True" for item in conditions)


async def replaced(hands: Hands, kind: Kind, lost: dict[str, Any]) -> bool:
    try:
        live = await hands.api.get(kind, lost["namespace"], lost["name"])
    except NotFound:
        return False
    return bool(live["metadata"]["uid"] != lost["uid"])
