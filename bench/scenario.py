"""The resource that is measured, and everything that a finished reconcile of it has stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trireme_operator import rendering
from trireme_operator.api import parse
from trireme_operator.api.labels import FIELD_MANAGER, FIELD_MANAGER_REPLICAS
from trireme_operator.kube import (
    CONTROLLER_REVISION,
    GATEWAY,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
    Obj,
)
from trireme_operator.planning import plan, revision_name, weights

ZONES = ("zone-a", "zone-b", "zone-c")
GROUPS = 2
"""Groups in a zone; not 1, the API's default, so that the number of groups has to be applied."""
CHILDREN: Mapping[Kind, int] = {
    LEADER_WORKER_SET: 3,
    SERVICE: 4,
    SERVICE_ACCOUNT: 1,
    CONTROLLER_REVISION: 1,
    POD_DISRUPTION_BUDGET: 3,
    HTTP_ROUTE: 1,
}
FEWEST_WRITES = sum(CHILDREN.values()) + len(ZONES) + 1
"""Each child, the number of groups of each LeaderWorkerSet, and the status."""

LAUNCHER_IMAGE = "trireme.dev/runtime:test"
EDGE_NAMESPACE, EDGE = "edge", "edge"
_TIME = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Step:
    """One server-side apply, and the one that has to come after it."""

    kind: Kind
    body: Obj
    manager: str = FIELD_MANAGER
    then: Step | None = None
    subresource: str | None = None


def resource(namespace: str, name: str) -> Obj:
    """Three zones of two groups of one pod each, behind a gateway, under a host name that no other one has."""
    spec = {
        "model": {"source": "hf://HuggingFaceTB/SmolLM2-135M-Instruct"},
        "parallelism": {"tensor": 1, "pipeline": 1},
        "accelerator": {"resource": "cpu", "perPod": 1},
        "zones": [{"name": zone, "replicas": GROUPS, "weight": 10} for zone in ZONES],
        "gateway": {
            "parentRefs": [{"name": EDGE, "namespace": EDGE_NAMESPACE}],
            "hostnames": [f"{name}.{namespace}.example.com"],
        },
    }
    return {
        "apiVersion": INFERENCE_CLUSTER.api_version,
        "kind": INFERENCE_CLUSTER.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def steps(stored: Obj) -> list[Step]:
    """Every write of a reconcile that finds nothing, byte for byte, but for the status.

    ``stored`` is the resource as the API server handed it out.
    """
    cluster = parse(stored)
    wanted = plan(cluster)
    settings = rendering.Settings(launcher_image=LAUNCHER_IMAGE)
    revision = revision_name(cluster)
    template = rendering.render_template(cluster, wanted, settings)
    route = rendering.http_route(cluster, wanted, weights(wanted, {}))
    result = [
        Step(CONTROLLER_REVISION, rendering.controller_revision(cluster, name=revision, number=1, template=template)),
        Step(SERVICE_ACCOUNT, rendering.service_account(cluster, wanted)),
        Step(SERVICE, rendering.service(cluster, wanted)),
        Step(HTTP_ROUTE, route),
    ]
    for zone in wanted.zones:
        groups = Step(LEADER_WORKER_SET, rendering.lws_replicas(cluster, zone), FIELD_MANAGER_REPLICAS)
        rendered = rendering.leader_worker_set(cluster, wanted, zone, revision_name=revision, template=template)
        result.append(Step(LEADER_WORKER_SET, rendered, then=groups))
        result.append(Step(SERVICE, rendering.zone_service(cluster, wanted, zone)))
        result.append(Step(POD_DISRUPTION_BUDGET, rendering.pod_disruption_budget(cluster, zone)))
    return result


def gateway() -> Obj:
    """The gateway that the routes name."""
    return {
        "apiVersion": GATEWAY.api_version,
        "kind": GATEWAY.kind,
        "metadata": {"name": EDGE, "namespace": EDGE_NAMESPACE},
        "spec": {"gatewayClassName": "bench", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    }


def programmed_gateway() -> Obj:
    """What a gateway's controller writes into the status of a gateway that is up."""
    fine = {
        "type": "Programmed",
        "status": "True",
        "reason": "Programmed",
        "message": "",
        "lastTransitionTime": _TIME,
    }
    return {"status": {"conditions": [fine]}}


def taken_route() -> Obj:
    """What a gateway's controller writes into the status of a route that it took."""
    fine = [
        {
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "lastTransitionTime": _TIME,
        }
        for kind in ("Accepted", "ResolvedRefs")
    ]
    parent = {"name": EDGE, "namespace": EDGE_NAMESPACE}
    return {"status": {"parents": [{"parentRef": parent, "controllerName": "bench.dev/gateway", "conditions": fine}]}}


def pods(stored: Obj) -> list[Obj]:
    """The pod of each group as LeaderWorkerSet makes it, as far as the operator looks at it."""
    cluster = parse(stored)
    wanted = plan(cluster)
    result = []
    for zone in wanted.zones:
        for group in range(zone.replicas):
            labels = {
                "trireme.dev/cluster": wanted.name,
                "leaderworkerset.sigs.k8s.io/name": zone.lws_name,
                "leaderworkerset.sigs.k8s.io/group-index": str(group),
                "leaderworkerset.sigs.k8s.io/worker-index": "0",
            }
            meta: dict[str, Any] = {
                "name": f"{zone.lws_name}-{group}",
                "namespace": wanted.namespace,
                "labels": labels,
                "annotations": {"leaderworkerset.sigs.k8s.io/size": "1"},
            }
            container = {"name": "engine", "image": "bench"}
            spec = {"serviceAccountName": wanted.service_account_name, "containers": [container]}
            result.append({"metadata": meta, "spec": spec})
    return result


def pod_status(*, ready: bool) -> Obj:
    """What a kubelet writes when the engine begins or ceases to answer."""
    state = {"running": {"startedAt": _TIME}}
    container = {"name": "engine", "image": "bench", "imageID": "", "ready": ready, "restartCount": 0, "state": state}
    return {
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [container],
        }
    }
