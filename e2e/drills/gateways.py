"""The gateway's controller is away: its proxies go on with what they have, and nothing new reaches them."""

from __future__ import annotations

from e2e import api
from e2e.api import Api
from e2e.cluster import Cluster
from e2e.components.gateway import NAMESPACE, install_gateway_api
from e2e.demo.watch import condition
from e2e.drills.target import Target

_CONTROLLER = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/envoy-gateway"
_ROUTES = "customresourcedefinition/httproutes.gateway.networking.k8s.io"
_PENDING, _MISSING = "RoutePending", "GatewayAPIMissing"
_STOPPED_SECONDS, _STARTED_SECONDS, _SAID_SECONDS = 60.0, 120.0, 60.0


def stop_controller(kube: Api) -> None:
    """Return when it is gone. Raises TimeoutError."""
    kube.merge_patch(_CONTROLLER, {"spec": {"replicas": 0}})
    api.wait_until(
        lambda: not kube.get(_CONTROLLER)["status"].get("replicas"),
        timeout_seconds=_STOPPED_SECONDS,
        what="the gateway's controller to be gone",
    )


def start_controller(kube: Api) -> None:
    """Return when it is ready; does nothing when it is. Raises TimeoutError."""
    kube.merge_patch(_CONTROLLER, {"spec": {"replicas": 1}})
    api.wait_until(
        lambda: kube.get(_CONTROLLER)["status"].get("readyReplicas") == 1,
        timeout_seconds=_STARTED_SECONDS,
        what="the gateway's controller to be ready",
    )


def remove_routes(cluster: Cluster) -> None:
    """Remove HTTPRoute from the API, and so every route of the cluster; return when both are gone."""
    cluster.kubectl("delete", _ROUTES, "--timeout=60s")


def install_api(cluster: Cluster) -> None:
    """Put back what is missing of Gateway API."""
    install_gateway_api(cluster)


def until_routed(target: Target) -> None:
    """Until the resource has a route. Raises TimeoutError."""
    api.wait_until(
        lambda: target.kube.find(target.route_path) is not None,
        timeout_seconds=_SAID_SECONDS,
        what=f"the route of {target.name}",
    )


def until_missing(target: Target) -> None:
    """Until the condition says that routes can't be made. Raises TimeoutError."""
    _until_said(target, _MISSING)


def until_pending(target: Target) -> None:
    """Until the condition says that a gateway has not taken up the route's latest change. Raises TimeoutError."""
    _until_said(target, _PENDING)


def _until_said(target: Target, reason: str) -> None:
    def said() -> bool:
        return condition(target.kube.get(target.path), "RoutesProgrammed").get("reason") == reason

    api.wait_until(said, timeout_seconds=_SAID_SECONDS, what=f"the reason {reason}")
