"""How drills end well: when all was whole again, as watches of the pods and of the route tell."""

from __future__ import annotations

from e2e.drills import timeline
from e2e.drills.drill import Scene
from e2e.drills.record import Record


def recreated(record: Record, scene: Scene, since: float) -> float | None:
    """The group was made anew as a whole."""
    return timeline.recreated(record.pods, timeline.group_of(scene.leader), scene.pods, since)


def all_recreated(record: Record, scene: Scene, since: float) -> float | None:
    """Every group was made anew."""
    return timeline.all_recreated(record.pods, scene.every, since)


def returned(record: Record, scene: Scene, since: float) -> float | None:
    """The same pods count again, and nothing was loaded anew."""
    return timeline.returned(record.pods, scene.pods, since)


def removed(record: Record, scene: Scene, since: float) -> float | None:
    """The group is gone."""
    return timeline.removed(record.pods, scene.pods, since)


def settled(record: Record, scene: Scene, since: float) -> float | None:
    """The zone had no traffic, and every zone has its share again."""
    return timeline.settled(record.routes, timeline.group_of(scene.leader)[0], since)


def recreated_and_settled(record: Record, scene: Scene, since: float) -> float | None:
    """The group was made anew, and every zone has its share again."""
    return _later(recreated(record, scene, since), settled(record, scene, since))


def all_recreated_and_settled(record: Record, scene: Scene, since: float) -> float | None:
    """Every group was made anew, and every zone has its share again."""
    return _later(all_recreated(record, scene, since), settled(record, scene, since))


def relieved_and_settled(record: Record, scene: Scene, since: float) -> float | None:
    """Every zone that was left got a group more, and every zone has its share again."""
    lost = timeline.group_of(scene.leader)[0]
    left = {zone: count for zone, count in scene.target.layout.groups.items() if zone != lost}
    return _later(timeline.enlarged(record.pods, left, since), settled(record, scene, since))


def route_is_back(record: Record, _: Scene, since: float) -> float | None:
    """The route was gone, and is there with the shares that it had."""
    return timeline.remade(record.routes, since)


def rebalanced(record: Record, scene: Scene, since: float) -> float | None:
    """The zone had less than its share, and every zone has its share again."""
    return timeline.rebalanced(record.routes, timeline.group_of(scene.leader)[0], since)


def _later(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)
