"""The gateway's controller is away: its proxies go on with what they have, and nothing new reaches them."""

from __future__ import annotations

from e2e import api
from e2e.api import Api
from e2e.components.gateway import NAMESPACE
from e2e.demo.watch import condition
from e2e.drills.target import Target

_CONTROLLER = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/envoy-gateway"
_PENDING = "RoutePending"
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


def until_pending(target: Target) -> None:
    """Until the condition says that a gateway has not taken up the route's latest change. Raises TimeoutError."""

    def pending() -> bool:
        return condition(target.kube.get(target.path), "RoutesProgrammed").get("reason") == _PENDING

    api.wait_until(pending, timeout_seconds=_SAID_SECONDS, what=f"the reason {_PENDING}")
