"""The condition RoutesProgrammed: what gateways say of the route and of its policy, and who else wants its requests."""

from collections.abc import Mapping

from trireme_operator.api import ConditionType, Reason
from trireme_operator.controller.conditions import Conditions
from trireme_operator.controller.routes import GatewayKey, gateway_keys, verdict
from trireme_operator.controller.scope import Scope, sentence
from trireme_operator.kube import BACKEND_TRAFFIC_POLICY, HTTP_ROUTE, INFERENCE_POOL, Obj
from trireme_operator.planning import ClusterPlan, pickers
from trireme_operator.rendering import wants_policy, wants_pools

GATEWAY_API_TEXT = (
    "The Gateway API is not installed: install its CRDs (1.6 or newer) and a gateway controller, or remove "
    "spec.gateway; it is picked up by itself"
)

INFERENCE_POOL_TEXT = (
    "The InferencePool API is not installed, so the route leads to the Services of the zones and the gateway chooses:"
    " install the CRDs of the Gateway API Inference Extension (1.0 or newer), or remove spec.gateway.endpointPicker; it"
    " is picked up by itself"
)
_POOL_VERDICTS = ("Accepted", "ResolvedRefs")
_POOL_WAY_OUT = (
    "its endpoint picker is to be the Service {picker} of this namespace, and the gateway to know InferencePools"
)


def say_routes(
    scope: Scope, plan: ClusterPlan, gateways: Mapping[GatewayKey, Obj | None], conditions: Conditions
) -> None:
    """Set RoutesProgrammed, for a resource with a gateway."""
    if scope.cluster.spec.gateway is None:
        return
    route = scope.children.get(HTTP_ROUTE, plan.route_name)
    failed = [error for error in scope.errors if error.kind == HTTP_ROUTE]
    way_in = f"; meanwhile the Service {plan.service_name} is the way in"
    if HTTP_ROUTE in scope.children.missing:
        text = GATEWAY_API_TEXT + way_in
        conditions.false(ConditionType.ROUTES_PROGRAMMED, Reason.GATEWAY_API_MISSING, text)
    elif route is None or failed:
        text = (sentence(failed) or "The route does not exist yet") + way_in
        conditions.false(ConditionType.ROUTES_PROGRAMMED, Reason.APPLY_FAILED, text)
    else:
        programmed, reason, text = verdict(scope.cluster, route, gateways)
        if programmed and scope.rival is not None:
            programmed, reason, text = False, Reason.HOSTNAME_CONFLICT, _rivalry(scope.rival)
        elif programmed:
            programmed, reason, text = _pools(scope, plan) or _policy(scope, plan, text)
        say = conditions.true if programmed else conditions.false
        say(ConditionType.ROUTES_PROGRAMMED, reason, text)


def _rivalry(rival: str) -> str:
    return (
        f"InferenceCluster {rival} has an older route with the same host name and path on the same listener, which gets"
        " their requests; change hostnames or paths of spec.gateway in one of them, or name another listener in"
        " parentRefs[].sectionName"
    )


def _pools(scope: Scope, plan: ClusterPlan) -> tuple[bool, Reason, str] | None:
    """What keeps endpoint pickers from choosing, or None."""
    if not wants_pools(scope.cluster):
        return None
    failed = [error for error in scope.errors if error.kind == INFERENCE_POOL]
    if INFERENCE_POOL in scope.children.missing:
        return False, Reason.INFERENCE_POOL_MISSING, INFERENCE_POOL_TEXT
    if failed:
        return False, Reason.APPLY_FAILED, sentence(failed)
    for zone, picker in pickers(scope.cluster, plan.pools).items():
        pool = plan.pools[zone]
        said = _against(scope, scope.children.get(INFERENCE_POOL, pool) or {})
        if said:
            text = f"InferencePool {pool}: {said}; {_POOL_WAY_OUT.format(picker=f'{picker.service}:{picker.port}')}"
            return False, Reason.INFERENCE_POOL_NOT_ACCEPTED, text
    return None


def _against(scope: Scope, pool: Obj) -> str:
    """What a gateway of the resource says against a pool; what others say of it is theirs."""
    ours = gateway_keys(scope.cluster)
    for parent in (pool.get("status") or {}).get("parents") or []:
        reference = parent.get("parentRef") or {}
        key = (str(reference.get("namespace") or scope.namespace), str(reference.get("name")))
        for item in parent.get("conditions") or []:
            if key in ours and item.get("type") in _POOL_VERDICTS and item.get("status") == "False":
                said = f"{item.get('reason', '')}: {item.get('message', '')}".rstrip(": ")
                return f"Gateway {'/'.join(key)}: {said}"
    return ""


def _policy(scope: Scope, plan: ClusterPlan, text: str) -> tuple[bool, Reason, str]:
    """What is to be said of the route's policy, behind `text` when nothing is wrong with it."""
    kind = BACKEND_TRAFFIC_POLICY
    if not wants_policy(scope.cluster):
        return True, Reason.PROGRAMMED, text
    failed = [error for error in scope.errors if error.kind == kind]
    if kind in scope.children.missing:
        missing = "; spec.gateway.policy does nothing, because Envoy Gateway's BackendTrafficPolicy is not installed"
        return True, Reason.PROGRAMMED, text + missing
    if failed:
        return False, Reason.APPLY_FAILED, sentence(failed)
    live = scope.children.get(kind, plan.route_name) or {}
    for ancestor in (live.get("status") or {}).get("ancestors") or []:
        for item in ancestor.get("conditions") or []:
            if item.get("type") == "Accepted" and item.get("status") == "False":
                said = f"{item.get('reason', '')}: {item.get('message', '')}"
                return False, Reason.POLICY_NOT_ACCEPTED, f"BackendTrafficPolicy {plan.route_name}: {said}"
    return True, Reason.PROGRAMMED, text
