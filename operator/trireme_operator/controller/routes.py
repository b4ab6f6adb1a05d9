"""What the Gateway API says about our route, and the URL that follows from it."""

from collections.abc import Iterable, Mapping
from typing import Any

from trireme_operator.api import InferenceCluster, Reason
from trireme_operator.kube import GATEWAY, ApiMissing, Forbidden, KubeApi, NotFound, Obj
from trireme_operator.planning import ClusterPlan

GatewayKey = tuple[str, str]
"""Namespace and name."""

_WEB_PORTS = {"http": 80, "https": 443}


async def read_gateways(api: KubeApi, cluster: InferenceCluster) -> dict[GatewayKey, Obj | None]:
    """The gateways that the resource names; None for one that does not exist, none of them without the API.

    A gateway that may not be read is left out: that costs the URL's scheme, nothing else.
    """
    found: dict[GatewayKey, Obj | None] = {}
    for key in dict.fromkeys(_parents(cluster)):
        try:
            found[key] = await api.get(GATEWAY, *key)
        except NotFound:
            found[key] = None
        except (ApiMissing, Forbidden):
            continue
    return found


def verdict(
    cluster: InferenceCluster, route: Obj, gateways: Mapping[GatewayKey, Obj | None]
) -> tuple[bool, Reason, str]:
    """Whether every parent took the route: the first parent that did not, decides.

    A verdict for an earlier generation of the route counts: weights change often, and the parents that took the route
    take a change of its weights.
    """
    statuses = (route.get("status") or {}).get("parents") or []
    for key in _parents(cluster):
        where = f"Gateway {key[0]}/{key[1]}"
        told = [entry for entry in statuses if _parent_key(entry, cluster.metadata.namespace) == key]
        if key in gateways and gateways[key] is None:
            return (
                False,
                Reason.GATEWAY_NOT_FOUND,
                f"{where} does not exist; create it or correct spec.gateway.parentRefs",
            )
        if not told:
            text = f"{where} has not taken up the route; check that the controller of its GatewayClass runs"
            return False, Reason.ROUTE_PENDING, text
        for kind, reason in (("Accepted", Reason.ROUTE_NOT_ACCEPTED), ("ResolvedRefs", Reason.BACKENDS_NOT_RESOLVED)):
            refusal = _refusal(told, kind)
            if refusal is not None:
                return False, reason, f"{where}: {refusal}"
    return True, Reason.PROGRAMMED, "Every Gateway of spec.gateway.parentRefs took the route"


def url(cluster: InferenceCluster, plan: ClusterPlan, gateways: Mapping[GatewayKey, Obj | None]) -> str:
    """Where clients send requests: through the first gateway if it is known how, else the Service over all zones."""
    gateway = cluster.spec.gateway
    if gateway is not None:
        path = gateway.paths[0]
        for parent, key in zip(gateway.parent_refs, _parents(cluster), strict=True):
            live = gateways.get(key)
            listener = _listener(live or {}, parent.section_name, parent.port)
            hosts = [name for name in gateway.hostnames if not name.startswith("*")]
            host = hosts[0] if hosts else _address(live or {})
            if host:
                return f"{_origin(host, listener)}{path}"
    return f"http://{plan.service_name}.{plan.namespace}.svc/v1"


def _parents(cluster: InferenceCluster) -> list[GatewayKey]:
    gateway = cluster.spec.gateway
    if gateway is None:
        return []
    return [(parent.namespace or cluster.metadata.namespace, parent.name) for parent in gateway.parent_refs]


def _parent_key(entry: Mapping[str, Any], namespace: str) -> GatewayKey:
    ref = entry.get("parentRef") or {}
    return str(ref.get("namespace") or namespace), str(ref.get("name"))


def _refusal(told: Iterable[Mapping[str, Any]], kind: str) -> str | None:
    """The gateway's own words when a condition of this type is not True for some listener."""
    for entry in told:
        condition = next((item for item in entry.get("conditions") or [] if item.get("type") == kind), None)
        if condition is None or condition.get("status") != "True":
            said = condition or {}
            return f"{said.get('reason', 'no verdict yet')}: {said.get('message', '')}".rstrip(": ")
    return None


def _listener(gateway: Mapping[str, Any], section: str | None, port: int | None) -> Mapping[str, Any]:
    for listener in (gateway.get("spec") or {}).get("listeners") or []:
        fits = (section is None or listener.get("name") == section) and (port is None or listener.get("port") == port)
        if fits and listener.get("protocol") in {"HTTP", "HTTPS"}:
            found: Mapping[str, Any] = listener
            return found
    return {}


def _address(gateway: Mapping[str, Any]) -> str | None:
    for address in (gateway.get("status") or {}).get("addresses") or []:
        value = str(address.get("value") or "")
        if value:
            return f"[{value}]" if ":" in value else value
    return None


def _origin(host: str, listener: Mapping[str, Any]) -> str:
    scheme = "https" if listener.get("protocol") == "HTTPS" else "http"
    port = listener.get("port", _WEB_PORTS[scheme])
    return f"{scheme}://{host}" + ("" if port == _WEB_PORTS[scheme] else f":{port}")
