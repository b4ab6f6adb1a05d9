"""The HTTPRoute: one rule, and all zones always in it, so that only numbers change when traffic moves.

Fields: sigs.k8s.io/gateway-api v1.6.1, apis/v1/httproute_types.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from trireme_operator.api import InferenceCluster
from trireme_operator.api.gateway import Gateway, Timeouts
from trireme_operator.api.labels import ANNOTATION_BALANCE, ANNOTATION_TRAFFIC
from trireme_operator.planning import ClusterPlan, ZonePlan, ZoneWeight, balancing
from trireme_operator.planning.pace import encode
from trireme_operator.rendering.metadata import Obj, metadata, stamp
from trireme_operator.rendering.services import PORT


def http_route(
    cluster: InferenceCluster,
    plan: ClusterPlan,
    weights: Mapping[str | None, ZoneWeight],
    *,
    to_pools: bool = False,
) -> Obj:
    """The route of a resource with a gateway: to the zones' Services, or to their InferencePools.

    Raises:
        ValueError: the resource has none; then there is no route.

    """
    gateway = cluster.spec.gateway
    if gateway is None:
        raise ValueError(f"{plan.namespace}/{plan.name} has no spec.gateway, so it has no HTTPRoute")
    parents = [parent.model_dump(mode="json", by_alias=True, exclude_none=True) for parent in gateway.parent_refs]
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": path}} for path in gateway.paths],
        "backendRefs": [
            {**_backend(zone, to_pools=to_pools), "weight": weights[zone.name].weight} for zone in plan.zones
        ],
        "timeouts": _timeouts(gateway),
        **_filters(gateway),
    }
    return stamp(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": metadata(cluster, plan.route_name, annotations=_memory(weights) or None),
            "spec": {
                "parentRefs": parents,
                **({"hostnames": list(gateway.hostnames)} if gateway.hostnames else {}),
                "rules": [rule],
            },
        }
    )


def _memory(weights: Mapping[str | None, ZoneWeight]) -> dict[str, str]:
    """What the next decision goes by."""
    marks = encode({name: zone.mark for name, zone in weights.items() if zone.mark is not None})
    parts = balancing.encode({name: zone.part for name, zone in weights.items() if zone.part is not None})
    return {key: text for key, text in ((ANNOTATION_TRAFFIC, marks), (ANNOTATION_BALANCE, parts)) if text}


def _backend(zone: ZonePlan, *, to_pools: bool) -> Obj:
    """A pool brings its ports along: sigs.k8s.io/gateway-api-inference-extension v1.6.0, conformance/resources."""
    if to_pools:
        return {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": zone.pool_name}
    return {"name": zone.service_name, "port": PORT}


def _timeouts(gateway: Gateway) -> Obj:
    """An answer streams for as long as it takes: "0s" switches the gateway's own limit off (GEP-1742)."""
    wanted = gateway.timeouts or Timeouts()
    found = {"request": f"{wanted.request_seconds or 0}s"}
    if wanted.backend_request_seconds is not None:
        found["backendRequest"] = f"{wanted.backend_request_seconds}s"
    return found


def _filters(gateway: Gateway) -> Obj:
    """Of the rule, not of a backend: those are part of the gateway's own names, which a change would replace."""
    if not gateway.request_headers:
        return {}
    headers = [{"name": header.name, "value": header.value} for header in gateway.request_headers]
    return {"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": headers}}]}
