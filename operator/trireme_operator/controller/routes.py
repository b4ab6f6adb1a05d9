"""What the Gateway API says about our route, and the URL that follows from it."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trireme_operator.api import InferenceCluster, Reason
from trireme_operator.kube import GATEWAY, INFERENCE_POOL, ApiMissing, Forbidden, KubeApi, NotFound, Obj
from trireme_operator.planning import ClusterPlan, ZonePlan

GatewayKey = tuple[str, str]
"""Namespace and name."""

_KEPT_SECONDS = 2.0
_WEB_PORTS = {"http": 80, "https": 443}


_AVAILABLE = "BackendsAvailable"
_VERDICTS = (
    ("Accepted", Reason.ROUTE_NOT_ACCEPTED),
    ("ResolvedRefs", Reason.BACKENDS_NOT_RESOLVED),
    (_AVAILABLE, Reason.BACKENDS_NOT_AVAILABLE),
)
_WAYS_OUT = {
    "NotAllowedByListeners": (
        "let the listener take routes of this namespace (spec.listeners[].allowedRoutes.namespaces of the Gateway), or"
        " name another listener in spec.gateway.parentRefs[].sectionName"
    ),
    "NoMatchingListenerHostname": (
        "correct spec.gateway.hostnames, or name a listener whose hostname they match in"
        " spec.gateway.parentRefs[].sectionName"
    ),
    "NoMatchingParent": "correct sectionName and port in spec.gateway.parentRefs: the Gateway has no such listener",
    "RefNotPermitted": (
        "the gateway wants a ReferenceGrant for the Services of the zones, which are in the route's own namespace: see"
        " what was changed in the route's backendRefs"
    ),
    "BackendNotFound": (
        "a Service or InferencePool of a zone is gone; the operator makes it again, so see its log for what refuses"
    ),
    "InvalidKind": (
        "this gateway knows no InferencePool, or not as one of several backends: take one that does (docs/traffic.md),"
        " or remove spec.gateway.endpointPicker"
    ),
}
"""By the reasons of sigs.k8s.io/gateway-api v1.6.1, apis/v1 (RouteConditionReason)."""


class GatewayReader:
    """Reads gateways, each at most once in two seconds: a thousand resources may name the same one."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._reads: dict[GatewayKey, tuple[float, asyncio.Future[Obj]]] = {}

    async def get(self, key: GatewayKey) -> Obj:
        """The gateway as it stood at most two seconds ago. Raises what the read raises."""
        now = time.monotonic()
        at, read = self._reads.get(key, (float("-inf"), None))
        if read is None or now - at > _KEPT_SECONDS:
            for old in [key for key, (at, _) in self._reads.items() if now - at > _KEPT_SECONDS]:
                del self._reads[old]
            read = asyncio.ensure_future(self._api.get(GATEWAY, *key))
            self._reads[key] = (now, read)
        return await asyncio.shield(read)  # others wait for it too, so nobody's end may cancel it


async def read_gateways(reader: GatewayReader, cluster: InferenceCluster) -> dict[GatewayKey, Obj | None]:
    """The gateways that the resource names; None for one that does not exist, none of them without the API.

    A gateway that may not be read is left out: that costs the URL's scheme, nothing else.
    """
    found: dict[GatewayKey, Obj | None] = {}
    for key in dict.fromkeys(gateway_keys(cluster)):
        try:
            found[key] = await reader.get(key)
        except NotFound:
            found[key] = None
        except (ApiMissing, Forbidden):
            continue
    return found


def verdict(
    cluster: InferenceCluster, route: Obj, gateways: Mapping[GatewayKey, Obj | None]
) -> tuple[bool, Reason, str]:
    """Whether every parent is up and serves this generation of the route: the first parent that does not, decides."""
    for reference in _references(cluster):
        found = _failing(reference, cluster.metadata.namespace, route, gateways)
        if found is not None:
            return False, *found
    return True, Reason.PROGRAMMED, "Every Gateway of spec.gateway.parentRefs took the route"


def _failing(
    reference: Mapping[str, Any], namespace: str, route: Obj, gateways: Mapping[GatewayKey, Obj | None]
) -> tuple[Reason, str] | None:
    """What one parent lacks, or None."""
    parent = _identity(reference, namespace)
    key = (parent["namespace"], parent["name"])
    where = f"Gateway {key[0]}/{key[1]}"
    if key in gateways:
        live = gateways[key]
        if live is None:
            return Reason.GATEWAY_NOT_FOUND, f"{where} does not exist; create it or correct spec.gateway.parentRefs"
        refusal = _refusal((live.get("status") or {}).get("conditions"), "Programmed")
        if refusal is not None:
            text = f"{where} serves nothing yet: {refusal}; see its status and the controller of its GatewayClass"
            return Reason.GATEWAY_NOT_PROGRAMMED, text
    statuses = (route.get("status") or {}).get("parents") or []
    told = [entry for entry in statuses if _identity(entry.get("parentRef") or {}, namespace) == parent]
    generation = int(route.get("metadata", {}).get("generation") or 0)
    if not told or any(_is_older(entry, generation) for entry in told):
        what = "the latest change of the route" if told else "the route"
        return (
            Reason.ROUTE_PENDING,
            f"{where} has not taken up {what}; check that the controller of its GatewayClass runs",
        )
    return _refused(where, told)


def _refused(where: str, told: Sequence[Mapping[str, Any]]) -> tuple[Reason, str] | None:
    """What a gateway says against the route, with the way out where the reason is a word of the Gateway API."""
    for kind, reason in _VERDICTS:
        for entry in told:
            conditions = entry.get("conditions") or []
            # Envoy Gateway's own type, which others do not have.
            if kind == _AVAILABLE and all(item.get("type") != kind for item in conditions):
                continue
            refusal = _refusal(conditions, kind)
            if refusal is not None:
                way_out = _WAYS_OUT.get(refusal.partition(":")[0])
                return reason, f"{where}: {refusal}" + (f"; {way_out}" if way_out else "")
    return None


def weights_in(route: Obj, zones: Iterable[ZonePlan]) -> dict[str | None, int]:
    """The weights that the route gives to zones, by their names; a zone that it does not name is not among them."""
    found: dict[str | None, int] = {}
    for zone in zones:
        weights = [int(ref.get("weight", 1)) for ref in backends(route) if _leads_to(ref, zone)]
        if weights:
            found[zone.name] = sum(weights)
    return found


def backends(route: Obj) -> list[Obj]:
    """The backendRefs of all rules."""
    return [ref for rule in route["spec"].get("rules") or [] for ref in rule.get("backendRefs") or []]


def is_pool(reference: Obj) -> bool:
    """Whether a backendRef names an InferencePool: of any other kind there are only Services."""
    return reference.get("kind") == INFERENCE_POOL.kind


def _leads_to(reference: Obj, zone: ZonePlan) -> bool:
    return reference.get("name") == (zone.pool_name if is_pool(reference) else zone.service_name)


def is_taken_up(route: Obj) -> bool:
    """Whether each gateway of the route that took it once has taken it as it is now.

    One that never spoke of it sends it nothing; what one says that the route no longer names does not count.
    """
    namespace = str(route["metadata"].get("namespace"))
    generation = int(route["metadata"].get("generation") or 0)
    parents = [_identity(reference, namespace) for reference in route["spec"].get("parentRefs") or []]
    told = (route.get("status") or {}).get("parents") or []
    ours = [entry for entry in told if _identity(entry.get("parentRef") or {}, namespace) in parents]
    return not any(_is_older(entry, generation) for entry in ours)


def url(cluster: InferenceCluster, plan: ClusterPlan, gateways: Mapping[GatewayKey, Obj | None]) -> str:
    """Where clients send requests: through the first gateway if it is known how, else the Service over all zones."""
    gateway = cluster.spec.gateway
    if gateway is not None:
        path = gateway.paths[0]
        for parent, key in zip(gateway.parent_refs, gateway_keys(cluster), strict=True):
            live = gateways.get(key)
            listener = _listener(live or {}, parent.section_name, parent.port)
            hosts = [name for name in gateway.hostnames if not name.startswith("*")]
            host = hosts[0] if hosts else _address(live or {})
            if host:
                return f"{_origin(host, listener)}{path}"
    return f"http://{plan.service_name}.{plan.namespace}.svc/v1"


def gateway_keys(cluster: InferenceCluster) -> list[GatewayKey]:
    """The gateways of the resource's route, in the order of the spec; one may come twice."""
    gateway = cluster.spec.gateway
    if gateway is None:
        return []
    return [(parent.namespace or cluster.metadata.namespace, parent.name) for parent in gateway.parent_refs]


def _references(cluster: InferenceCluster) -> list[dict[str, Any]]:
    gateway = cluster.spec.gateway
    parents = gateway.parent_refs if gateway is not None else []
    return [parent.model_dump(mode="json", by_alias=True, exclude_none=True) for parent in parents]


def _identity(reference: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """A parentRef with the API's defaults filled in: two of them name the same parent when all of it is equal.

    Source: sigs.k8s.io/gateway-api v1.6.1, apis/v1/shared_types.go (ParentReference).
    """
    return {
        "group": reference.get("group", "gateway.networking.k8s.io"),
        "kind": reference.get("kind") or "Gateway",
        "namespace": str(reference.get("namespace") or namespace),
        "name": str(reference.get("name")),
        "sectionName": reference.get("sectionName"),
        "port": reference.get("port"),
    }


def _is_older(entry: Mapping[str, Any], generation: int) -> bool:
    """Whether the verdict is for an earlier route; a condition that names no generation is taken as the latest."""
    told = [item.get("observedGeneration") for item in entry.get("conditions") or []]
    return any(int(observed) < generation for observed in told if observed is not None)


def _refusal(conditions: Iterable[Mapping[str, Any]] | None, kind: str) -> str | None:
    """The gateway's own words when the condition of this type is not True."""
    condition = next((item for item in conditions or [] if item.get("type") == kind), {})
    if condition.get("status") == "True":
        return None
    return f"{condition.get('reason', 'no verdict yet')}: {condition.get('message', '')}".rstrip(": ")


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
