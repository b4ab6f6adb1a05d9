"""Where the operators of the installation run, and which of them writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from e2e import api, stack
from e2e.api import Obj
from e2e.cluster import ZONES
from e2e.drills.target import Target
from e2e.drills.timeline import is_ready

_LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{stack.NAMESPACE}/leases/trireme"
_PODS = f"/api/v1/namespaces/{stack.NAMESPACE}/pods"
_MOVED_SECONDS = 120.0


def keep_active_out(target: Target, node: str) -> None:
    """Let an operator elsewhere hold the Lease, so that the loss of the node is not that of who acts on it."""
    if _active_node(target) != node:
        return
    _replace(target, lambda pod: _node(pod) == node, cordoned=[node])


def keep_active_in(target: Target, node: str) -> None:
    """Let the operator that holds the Lease be on the node, and the other one elsewhere."""
    others = [each for each in ZONES if each != node]
    if _active_node(target) != node:
        _replace(target, lambda pod: _node(pod) != node, cordoned=others)
    active = _active(target)
    if all(_node(pod) == node for pod in _operators(target)):
        _replace(target, lambda pod: pod["metadata"]["name"] != active, cordoned=[node])


def renew(target: Target, *, cordoned: str) -> None:
    """Let new operators run, all on other nodes."""
    _replace(target, lambda _: True, cordoned=[cordoned])


def _replace(target: Target, which: Callable[[Obj], bool], *, cordoned: Iterable[str]) -> None:
    """End some operators, whose successors start on none of the nodes. Raises TimeoutError."""
    nodes = tuple(cordoned)
    count = len(_operators(target))
    target.cluster.kubectl("cordon", *nodes)
    try:
        gone = [pod for pod in _operators(target) if which(pod)]
        for pod in gone:
            target.kube.delete(f"{_PODS}/{pod['metadata']['name']}")
        old = {pod["metadata"]["uid"] for pod in gone}

        def replaced() -> bool:
            pods = _operators(target)
            new = len(pods) == count and not old & {pod["metadata"]["uid"] for pod in pods}
            return new and all(map(is_ready, pods)) and _active(target) in {pod["metadata"]["name"] for pod in pods}

        api.wait_until(replaced, timeout_seconds=_MOVED_SECONDS, what="operators to run on other nodes")
    finally:
        target.cluster.kubectl("uncordon", *nodes)


def _operators(target: Target) -> list[Obj]:
    return target.kube.items(f"{_PODS}?labelSelector=app.kubernetes.io/component%3Doperator")


def _active(target: Target) -> str:
    """The name of the pod whose operator holds the Lease."""
    return str(target.kube.get(_LEASE)["spec"].get("holderIdentity") or "")


def _active_node(target: Target) -> str:
    active = _active(target)
    return next((_node(pod) for pod in _operators(target) if pod["metadata"]["name"] == active), "")


def _node(pod: Obj) -> str:
    return str(pod["spec"].get("nodeName", ""))
