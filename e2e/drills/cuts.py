"""Drills that cut the network between the pods of a group."""

from __future__ import annotations

import time

from e2e import api
from e2e.drills.drill import Cause, Drill, Scene
from e2e.drills.outcomes import recreated, returned
from e2e.drills.target import LOST_SECONDS

SHORT_SECONDS = 10.0


def _split(scene: Scene) -> float:
    """Between the two pods only: the kubelets, the operator and the gateway reach both."""
    leader, *others = (str(pod["status"]["podIP"]) for pod in scene.group)
    at = time.monotonic()
    scene.target.cluster.split_pods([leader], others)
    return at


def _join(scene: Scene) -> None:
    scene.target.cluster.join_pods()


def _join_soon(scene: Scene) -> None:
    time.sleep(SHORT_SECONDS)
    _join(scene)


def _wait_for_the_end(scene: Scene) -> None:
    """The cut stays until both pods are gone: new ones have other addresses."""
    uids = scene.pods.uids

    def gone() -> bool:
        return not uids & {str(pod["metadata"]["uid"]) for pod in scene.target.pods()}

    api.wait_until(gone, timeout_seconds=4 * LOST_SECONDS, what="both pods of the group that was cut in two to end")


CUT_DRILLS = (
    Drill(
        "partition-short",
        f"the pods of a group cut off from each other for {SHORT_SECONDS:.0f} s",
        _split,
        returned,
        follow=_join_soon,
        undo=_join,
        # Requests that a real engine was at work on when the cut came wait for it to end.
        limits={"recovered_seconds": SHORT_SECONDS + 15.0},
    ),
    Drill(
        "partition-long",
        "the pods of a group cut off from each other for good",
        _split,
        recreated,
        Cause(("MemberLost",), None),
        follow=_wait_for_the_end,
        undo=_join,
        limits={"ended_seconds": LOST_SECONDS + 10.0, "recovered_seconds": LOST_SECONDS + 30.0},
    ),
)
