"""What Envoy Gateway is told to do about groups that do not answer: ``spec.gateway.policy``.

It is made before the route and left alone: Envoy Gateway acts on a change of it only after 15 s, and in that time each
route of the same Gateway fails that needs something new.

Fields: github.com/envoyproxy/gateway v1.9.1, api/v1alpha1 (backendtrafficpolicy, healthcheck, retry and timeout types).
"""

from __future__ import annotations

from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.gateway import GatewayPolicy
from trireme_operator.planning import ClusterPlan
from trireme_operator.rendering.engine import LAUNCHER_PORT
from trireme_operator.rendering.metadata import Obj, metadata, stamp

_NEVER_REACHED: Final = ("connect-failure", "refused-stream", "reset-before-request")
"""Triggers that no engine has seen anything of."""
_PERHAPS_BEGUN: Final = ("reset", "gateway-error", "retriable-status-codes")
_UNAVAILABLE: Final = 503
_TRIES: Final = 2


def wants_policy(cluster: InferenceCluster) -> bool:
    """Whether the resource asks for one."""
    gateway = cluster.spec.gateway
    return gateway is not None and gateway.policy not in {None, GatewayPolicy.OFF}


def backend_traffic_policy(cluster: InferenceCluster, plan: ClusterPlan) -> Obj | None:
    """The policy of the resource's route, of the same name; None when the resource wants none."""
    gateway = cluster.spec.gateway
    if gateway is None or not wants_policy(cluster):
        return None
    return stamp(
        {
            "apiVersion": "gateway.envoyproxy.io/v1alpha1",
            "kind": "BackendTrafficPolicy",
            "metadata": metadata(cluster, plan.route_name),
            "spec": {
                "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": plan.route_name}],
                "timeout": {"tcp": {"connectTimeout": "500ms"}},
                "retry": _retry(aggressive=gateway.policy is GatewayPolicy.AGGRESSIVE_RETRY),
                "healthCheck": _HEALTH_CHECK,
            },
        }
    )


def _retry(*, aggressive: bool) -> Obj:
    """Without a limit for one try: the first token of a long prompt may take as long as it takes."""
    on: Obj = {"triggers": [*_NEVER_REACHED, *(_PERHAPS_BEGUN if aggressive else ())]}
    if aggressive:
        on["httpStatusCodes"] = [_UNAVAILABLE]
    back_off = {"baseInterval": "25ms", "maxInterval": "250ms"}
    return {"numRetries": _TRIES, "retryOn": on, "perRetry": {"backOff": back_off}}


_HEALTH_CHECK: Final[Obj] = {
    # When every group looks bad it is perhaps only the check that fails: then requests are sent all the same.
    "panicThreshold": 1,
    "active": {
        "type": "HTTP",
        "interval": "1s",
        "timeout": "500ms",
        "unhealthyThreshold": 1,
        "healthyThreshold": 1,
        "http": {"path": "/readyz", "expectedStatuses": [200]},
        # The launcher speaks for the whole group; the engine says that it is healthy when a rank is dead.
        "overrides": {"port": LAUNCHER_PORT},
    },
    "passive": {
        "consecutive5XxErrors": 1,
        "consecutiveGatewayErrors": 1,
        "consecutiveLocalOriginFailures": 1,
        "splitExternalLocalOriginErrors": True,
        "interval": "1s",
        "baseEjectionTime": "5s",
        "maxEjectionPercent": 100,
    },
}
