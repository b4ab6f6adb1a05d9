"""A drill on a node that is cordoned, with ``nodeMaintenance``: its group leaves rotation before it is drained."""

from __future__ import annotations

import time
from contextlib import ExitStack

from e2e import api, stack
from e2e.demo.watch import condition
from e2e.drills.drill import Drill, Scene
from e2e.drills.outcomes import recreated_and_settled
from e2e.drills.size import Size
from e2e.drills.target import Target
from e2e.drills.zone_scene import NODE, QUIET, ZONE

_GRACE_SECONDS = 120
_LEAVES_SECONDS = 120.0
"""The zone's share is given up in steps, within ``failover.returnSeconds``, and gateways take up each of them."""
_ROUND_SECONDS = 180.0
_REASON = "NodeMaintenance"


def _enable(target: Target) -> None:
    """The operator reads nodes, and every zone has its whole share."""
    with ExitStack() as undo:
        undo.callback(stack.install_trireme, target.cluster)
        stack.install_trireme(target.cluster, switches=("nodeMaintenance.enabled=true",))
        target.wait_until_settled()
        undo.pop_all()  # from here on it is the drill's to undo


def _cordon(scene: Scene) -> float:
    at = time.monotonic()
    scene.target.cluster.kubectl("cordon", NODE)
    return at


def _drain(scene: Scene) -> None:
    """When the group is out of rotation and the resource says why; afterwards the node takes pods again.

    Raises RuntimeError when the message does not name the node and the way out.
    """
    target = scene.target
    path = f"/api/v1/namespaces/{target.namespace}/pods/{scene.leader['metadata']['name']}"

    def is_out() -> bool:
        labels = target.kube.get(path)["metadata"]["labels"]
        said = condition(target.kube.get(target.path), "Progressing")
        out = (labels.get("trireme.dev/rotation"), labels.get("trireme.dev/rotation-reason")) == ("out", _REASON)
        return out and said.get("reason") == _REASON

    api.wait_until(is_out, timeout_seconds=_LEAVES_SECONDS, what=f"the group of {ZONE} to leave rotation")
    message = str(condition(target.kube.get(target.path), "Progressing").get("message"))
    if f"node {NODE} is cordoned" not in message or f"kubectl uncordon {NODE}" not in message:
        raise RuntimeError(f"the condition does not name node {NODE} and the way out: {message}")
    words = (f"--pod-selector=trireme.dev/cluster={target.name}", "--delete-emptydir-data")
    target.cluster.kubectl("drain", NODE, *words, f"--timeout={_GRACE_SECONDS}s")
    target.cluster.kubectl("uncordon", NODE)


def _undo(scene: Scene) -> None:
    try:
        scene.target.cluster.kubectl("uncordon", NODE)
    finally:
        stack.install_trireme(scene.target.cluster)


def maintenance_drills(size: Size) -> tuple[Drill, ...]:
    """None in a short run: the operator is installed anew, twice."""
    if size.short:
        return ()
    return (
        Drill(
            "node-cordoned",
            "the node of a zone's only group cordoned, with nodeMaintenance, and drained when that is out of rotation",
            _cordon,
            recreated_and_settled,
            layout=size.zones,
            broken=(ZONE, 0),
            engines=frozenset({size.engine}),
            prepare=_enable,
            follow=_drain,
            undo=_undo,
            shape=size.shape,
            before=size.before,
            limits=QUIET | {"recovered_seconds": _LEAVES_SECONDS + _GRACE_SECONDS + _ROUND_SECONDS, "returns": 1},
        ),
    )
