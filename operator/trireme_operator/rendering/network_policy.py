"""The NetworkPolicy of a zone: its pods among themselves, clients to the engine, monitoring and operator to launchers.

The ranks of a group open a dozen ports each that are not known before (gloo, ZMQ, NCCL), so between the pods of a
LeaderWorkerSet every TCP port is open. Probes come from the pod's own node, which no NetworkPolicy can shut out
(https://kubernetes.io/docs/concepts/services-networking/network-policies/).

Fields: k8s.io/api v0.36.3, networking/v1/types.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.labels import LWS_LABEL_NAME
from trireme_operator.api.selectors import Peer
from trireme_operator.planning import ZonePlan
from trireme_operator.rendering.engine import ENGINE_PORT, LAUNCHER_PORT
from trireme_operator.rendering.metadata import Obj, metadata, stamp
from trireme_operator.rendering.settings import Settings

# Set by the API server on every namespace.
_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"


def network_policy(cluster: InferenceCluster, zone: ZonePlan, settings: Settings) -> Obj | None:
    """The policy over all pods of a zone's LeaderWorkerSet, of the same name; None when the resource wants none."""
    wanted = cluster.spec.network_policy
    if wanted is None:
        return None
    pods = {"matchLabels": {LWS_LABEL_NAME: zone.lws_name}}
    ingress: list[Obj] = [
        {"from": [{"podSelector": pods}], "ports": [{"protocol": "TCP"}]},
        {"from": _peers(wanted.from_), "ports": _ports(ENGINE_PORT)},
    ]
    if wanted.monitoring:
        ingress.append({"from": _peers(wanted.monitoring), "ports": _ports(ENGINE_PORT, LAUNCHER_PORT)})
    if settings.operator_namespace:
        operator = {"namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: settings.operator_namespace}}}
        ingress.append({"from": [operator], "ports": _ports(LAUNCHER_PORT)})
    return stamp(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(cluster, zone.lws_name, zone=zone.name),
            "spec": {"podSelector": pods, "policyTypes": ["Ingress"], "ingress": ingress},
        }
    )


def _ports(*numbers: int) -> list[Obj]:
    return [{"protocol": "TCP", "port": number} for number in numbers]


def _peers(peers: Sequence[Peer]) -> list[Obj]:
    """As the API server stores them: an empty selector stays, it is not the same as none; empty lists do not."""
    dumped = [peer.model_dump(mode="json", by_alias=True, exclude_none=True) for peer in peers]
    return [{name: _filled(part) for name, part in peer.items()} for peer in dumped]


def _filled(part: Obj) -> Obj:
    kept = {name: value for name, value in part.items() if value not in ([], {})}
    if "matchExpressions" in kept:
        kept["matchExpressions"] = [_filled(item) for item in kept["matchExpressions"]]
    return kept
