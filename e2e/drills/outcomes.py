"""How drills end well: when all was whole again, as a watch of the pods tells."""

from __future__ import annotations

from collections.abc import Sequence

from e2e.drills import timeline
from e2e.drills.drill import Scene
from e2e.drills.record import Seen


def recreated(pods: Sequence[Seen], scene: Scene, since: float) -> float | None:
    """The group was made anew as a whole."""
    return timeline.recreated(pods, timeline.group_of(scene.leader), scene.pods, since)


def all_recreated(pods: Sequence[Seen], scene: Scene, since: float) -> float | None:
    """Every group was made anew."""
    return timeline.all_recreated(pods, scene.every, since)


def returned(pods: Sequence[Seen], scene: Scene, since: float) -> float | None:
    """The same pods count again, and nothing was loaded anew."""
    return timeline.returned(pods, scene.pods, since)


def removed(pods: Sequence[Seen], scene: Scene, since: float) -> float | None:
    """The group is gone."""
    return timeline.removed(pods, scene.pods, since)
