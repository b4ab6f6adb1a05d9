"""Drills in which nothing fails: what is done on purpose to a busy resource must cost no request."""

from __future__ import annotations

import time
from functools import partial

from e2e.drills.drill import Drill, Scene
from e2e.drills.ends import delete_worker
from e2e.drills.outcomes import all_recreated, recreated, removed
from e2e.drills.size import Size
from e2e.drills.target import ONE_ZONE
from e2e.drills.timeline import Group

_GRACE_SECONDS = 120
_LAST_GROUP: Group = ("zone-b", 1)
# A graceful end takes as long as the longest stream; then pods are made again, one group after the other in a rollout.
_LIMITS: dict[str, float | None] = {
    "failed": 0,
    "out_of_rotation_seconds": None,
    "recovered_seconds": 2.0 * _GRACE_SECONDS,
    "last_failed_seconds": None,
    "longest_silence_seconds": 1.0,
}
# A short run shares its machine with other tests, and tells of nothing but what was lost.
_SHORT_LIMITS: dict[str, float | None] = {**_LIMITS, "longest_silence_seconds": None}


def _drain(scene: Scene) -> float:
    """``kubectl drain`` of the group's node, as before maintenance: it returns when the pods are gone."""
    words = (f"--pod-selector=trireme.dev/cluster={scene.target.name}", "--delete-emptydir-data")
    at = time.monotonic()
    scene.target.cluster.kubectl("drain", _node(scene), *words, f"--timeout={_GRACE_SECONDS}s")
    return at


def _uncordon(scene: Scene) -> None:
    scene.target.cluster.kubectl("uncordon", _node(scene))


def _node(scene: Scene) -> str:
    return str(scene.leader["spec"]["nodeName"])


def _scale_down(scene: Scene) -> float:
    at = time.monotonic()
    scene.target.set_spec(zones=[{"name": "zone-b", "replicas": 1, "weight": 50}])
    return at


def _scale_back(scene: Scene) -> None:
    scene.target.set_spec(zones=[{"name": "zone-b", "replicas": 2, "weight": 50}])


def new_template(scene: Scene, **engine: str) -> float:
    """A change that every pod must be made anew for, in a flag and other fields of the engine.

    Within a zone LeaderWorkerSet replaces one group after the other.
    """
    current = int(scene.target.kube.get(scene.target.path)["spec"]["engine"]["config"]["maxNumSeqs"])
    at = time.monotonic()
    scene.target.set_spec(engine={"config": {"maxNumSeqs": current + 1}} | engine)
    return at


def load_drills(size: Size) -> tuple[Drill, ...]:
    """The four of them."""
    common = partial(
        Drill,
        engines=frozenset({size.engine}),
        limits=_SHORT_LIMITS if size.short else _LIMITS,
        shape=size.shape,
        requests=size.requests,
        before=size.before,
        weight_moves=False,
    )
    one_zone = partial(common, layout=ONE_ZONE, broken=_LAST_GROUP)
    return (
        common(
            "load-node-drain", "kubectl drain of a group's node", _drain, recreated, follow=_uncordon, undo=_uncordon
        ),
        common("load-worker-deleted", "a worker's pod deleted", delete_worker, recreated),
        one_zone("load-scale-down", "a zone scaled from two groups to one", _scale_down, removed, undo=_scale_back),
        one_zone(
            "load-rolling-update",
            "a new template for both groups of a zone",
            new_template,
            all_recreated,
            leave_others=False,
        ),
    )
