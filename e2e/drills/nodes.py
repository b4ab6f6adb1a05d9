"""Drills that take a machine away: the node of a worker loses its power."""

from __future__ import annotations

import time
from contextlib import ExitStack

from e2e import api, stack
from e2e.api import Obj
from e2e.drills.drill import Cause, Drill, Scene
from e2e.drills.outcomes import recreated
from e2e.drills.target import WIDE, Engine, Target, available

REMOVED_AFTER_SECONDS = 60.0
"""After so long a cloud controller has removed the Node object of a machine that is gone."""

_COLLECTED_SECONDS = 60.0
"""Pods of a node that does not exist are collected 40 s after that was first seen, every 20 s (k8s.io/kubernetes
pkg/controller/podgc)."""
_LOST_SECONDS = 50.0
_TOLERATED_SECONDS = 30.0
_GRACE_SECONDS = 120.0
_FORCED_SECONDS = 60.0
_AGAIN_SECONDS = 30.0
_GROUP = ("zone-a", 0)
_SYSTEM = (stack.NAMESPACE, "envoy-gateway-system", "lws-system", "kube-system")


def clear(target: Target) -> None:
    """Let the pods of the platform leave the worker's node: a group is to be lost and nothing else.

    Raises RuntimeError when leader and worker share a node.
    """
    _spread(target)
    leader, worker = (str(pod["spec"]["nodeName"]) for pod in target.group(_GROUP))
    if leader == worker:
        raise RuntimeError(f"leader and worker are both on {leader}: the drill needs them on different nodes")
    clear_of_platform(target, worker)


def clear_of_platform(target: Target, node: str) -> None:
    """Let the pods of the platform leave a node. Raises TimeoutError."""
    target.cluster.kubectl("cordon", node)
    try:
        for pod in _platform(target, node):
            meta = pod["metadata"]
            target.kube.delete(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}")
        api.wait_until(
            lambda: not _platform(target, node) and all(available(target.kube, name) for name in _SYSTEM),
            timeout_seconds=120,
            what=f"the pods of {', '.join(_SYSTEM)} to leave {node}",
        )
    finally:
        target.cluster.kubectl("uncordon", node)


def _spread(target: Target) -> None:
    """Have a group made anew that came together on one node while the other one was away."""
    group = target.group(_GROUP)
    if len({pod["spec"]["nodeName"] for pod in group}) > 1:
        return
    old = {pod["metadata"]["uid"] for pod in group}
    target.kube.delete(f"/api/v1/namespaces/{target.namespace}/pods/{group[1]['metadata']['name']}")
    api.wait_until(
        lambda: not old & {pod["metadata"]["uid"] for pod in target.group(_GROUP)},
        timeout_seconds=120,
        what="the group that shares a node to be made anew",
    )
    target.wait_until_whole()


def _platform(target: Target, node: str) -> list[Obj]:
    pods = target.kube.items(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node}")
    return [pod for pod in pods if pod["metadata"]["namespace"] in _SYSTEM]


def _stop(scene: Scene) -> float:
    at = time.monotonic()
    scene.target.cluster.stop_node(_node(scene))
    return at


def _node(scene: Scene) -> str:
    return str(scene.worker["spec"]["nodeName"])


def _remove_node(scene: Scene) -> None:
    time.sleep(REMOVED_AFTER_SECONDS)
    scene.target.kube.delete(f"/api/v1/nodes/{_node(scene)}")


def _start(scene: Scene) -> None:
    """The machine comes back, as a new Node where its object was removed."""
    target = scene.target
    target.cluster.start_node(_node(scene))
    target.layout.relabel(target.cluster)


def _force(target: Target) -> None:
    """The operator gets the right that replacing lost pods takes, and the resource asks for it."""
    with ExitStack() as undo:
        undo.callback(_take_back, target)
        stack.install_trireme(target.cluster, switches=("rbac.replaceLostPods=true",))
        target.set_spec(failover={"replaceLostPods": "Force"})
        target.wait_until_whole()
        clear(target)
        undo.pop_all()  # from here on it is the drill's to undo


def _take_back(target: Target) -> None:
    target.set_spec(failover=None)
    stack.install_trireme(target.cluster)


def _unforce(scene: Scene) -> None:
    try:
        _start(scene)
    finally:
        _take_back(scene.target)


NODE_DRILLS = (
    Drill(
        "node-stopped",
        f"a worker's node without power, its Node object removed {REMOVED_AFTER_SECONDS:.0f} s later",
        _stop,
        recreated,
        Cause(("MemberLost",), 1),
        layout=WIDE,
        prepare=clear,
        follow=_remove_node,
        undo=_start,
        limits={"recovered_seconds": REMOVED_AFTER_SECONDS + _COLLECTED_SECONDS + _AGAIN_SECONDS},
    ),
    Drill(
        "node-stopped-forced",
        "a worker's node without power, with failover.replaceLostPods: Force",
        _stop,
        recreated,
        Cause(("MemberLost",), 1),
        layout=WIDE,
        engines=frozenset({Engine.DOUBLE}),
        prepare=_force,
        undo=_unforce,
        limits={
            "recovered_seconds": _LOST_SECONDS + _TOLERATED_SECONDS + _GRACE_SECONDS + _FORCED_SECONDS + _AGAIN_SECONDS
        },
    ),
)
