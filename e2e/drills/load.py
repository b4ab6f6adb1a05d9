"""Drills in which nothing fails: what is done on purpose to a busy resource must cost no request."""

from __future__ import annotations

import time
from functools import partial

from e2e.drills.client import Shape
from e2e.drills.drill import Drill, Scene
from e2e.drills.ends import delete_worker
from e2e.drills.outcomes import all_recreated, recreated, removed
from e2e.drills.target import ONE_ZONE, Engine
from e2e.drills.timeline import Group

FULL_REQUESTS, SHORT_REQUESTS = 5200, 550
"""Of each drill: over all four more than 20 000, or, in a short run, more than 2 000."""

FULL = Shape(100, stream=True, long_every=400, long_tokens=600)
"""Half of 100 requests a second are streams, and every 400th runs for a minute: 0.1 s a token."""
SHORT = Shape(100, stream=True, long_every=100, long_tokens=80)
FULL_BEFORE, SHORT_BEFORE = 1500, 250
"""Answered before the event: of those that take long, some run in each group by then."""
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


def new_template(scene: Scene) -> float:
    """A change that every pod must be made anew for; LeaderWorkerSet replaces one group after the other."""
    current = int(scene.target.kube.get(scene.target.path)["spec"]["engine"]["config"]["maxNumSeqs"])
    at = time.monotonic()
    scene.target.set_spec(engine={"config": {"maxNumSeqs": current + 1}})
    return at


def load_drills(*, short: bool) -> tuple[Drill, ...]:
    """The four of them, in full or short."""
    common = partial(
        Drill,
        engines=frozenset({Engine.DOUBLE}),
        limits=_SHORT_LIMITS if short else _LIMITS,
        shape=SHORT if short else FULL,
        requests=SHORT_REQUESTS if short else FULL_REQUESTS,
        before=SHORT_BEFORE if short else FULL_BEFORE,
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
