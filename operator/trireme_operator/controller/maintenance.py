"""What of a resource is to leave rotation because of maintenance: gathered from pods, nodes, launchers and route."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from trireme_operator.api import WeightReason
from trireme_operator.api.labels import LABEL_ROTATION_REASON, ROTATION_MAINTENANCE
from trireme_operator.collector import Listening
from trireme_operator.controller.course import Course
from trireme_operator.controller.groups import Group
from trireme_operator.controller.stalled import HeardFn
from trireme_operator.controller.traffic import ListenFn, is_out
from trireme_operator.controller.zone_runs import running
from trireme_operator.planning import (
    LiveTraffic,
    Member,
    Notice,
    Pace,
    RolloutPhase,
    Upkeep,
    Way,
    ZoneMembers,
    ZoneRun,
    upkeep,
)

_CHANGES = frozenset({RolloutPhase.MOVING, RolloutPhase.REPLACING, RolloutPhase.STOPPED})
"""Phases in which the zone that a rollout speaks of is the one that it changes."""


class NodeNotices(Protocol):
    """Who knows of nodes."""

    @property
    def known(self) -> bool:
        """Whether it knows yet."""
        ...

    def notice(self, node: str) -> Notice | None:
        """Why a node is about to be emptied; None when it is not."""
        ...


def with_upkeep(
    course: Course,
    nodes: NodeNotices | None,
    live: LiveTraffic | None,
    *,
    heard: HeardFn,
    listen: ListenFn,
    pace: Pace,
) -> Course:
    """The course, with what maintenance asks for. Nothing new is decided before the nodes were listed."""
    groups = [group for found in course.groups.values() for group in found]
    if not any(is_out_for_maintenance(group) or _notice(group, nodes) is not None for group in groups):
        return course
    if nodes is not None and not nodes.known:
        return replace(course, upkeep={name: _unchanged(found) for name, found in course.groups.items()})
    zones = [_zone(run, course, nodes, live, heard=heard, listen=listen, pace=pace) for run in course.runs]
    return replace(course, upkeep=upkeep(zones))


def is_out_for_maintenance(group: Group) -> bool:
    """Whether it was taken out because of a node."""
    labels = {} if group.leader is None else group.leader["metadata"].get("labels") or {}
    return is_out(group) and labels.get(LABEL_ROTATION_REASON) == ROTATION_MAINTENANCE


def is_silent(listening: Listening | None, pace: Pace) -> bool:
    """Whether a leader that was heard is not any more."""
    if listening is None or listening.heard is None or listening.silence is None:
        return False
    return listening.silence >= pace.detect


def _unchanged(groups: Sequence[Group]) -> Upkeep:
    """Until the nodes were listed."""
    return Upkeep(frozenset(group.index for group in groups if is_out_for_maintenance(group)), waits=True)


def _zone(
    run: ZoneRun,
    course: Course,
    nodes: NodeNotices | None,
    live: LiveTraffic | None,
    *,
    heard: HeardFn,
    listen: ListenFn,
    pace: Pace,
) -> ZoneMembers:
    groups = course.groups[run.name]
    mark = None if live is None else live.marks.get(run.name)
    left = mark is not None and mark.reason is WeightReason.NODE_MAINTENANCE and mark.way is not Way.BACK
    rolls = run.updating or (course.rollout.phase in _CHANGES and run.name == course.rollout.zone)
    return ZoneMembers(
        name=run.name,
        members=tuple(_member(group, nodes, heard=heard, listen=listen, pace=pace) for group in groups),
        needed=run.needed,
        busy=rolls or run.leaving or run.name in course.holds,
        share=run.share,
        returned=run.returned,
        unreached=run.unreached,
        begun=left,
    )


def _member(group: Group, nodes: NodeNotices | None, *, heard: HeardFn, listen: ListenFn, pace: Pace) -> Member:
    out = is_out_for_maintenance(group)
    silent = is_silent(listen([_uid(group)]), pace) if group.leader is not None else False
    return Member(
        index=group.index,
        ready=group.ready and not silent and (out or not is_out(group)),
        out=out,
        notice=_notice(group, nodes),
        running=running((group,), heard),
    )


def _notice(group: Group, nodes: NodeNotices | None) -> Notice | None:
    if nodes is None:
        return None
    placed = [(pod.get("spec") or {}).get("nodeName") for pod in group.pods]
    return next((notice for node in placed if node and (notice := nodes.notice(node)) is not None), None)


def _uid(group: Group) -> str:
    return "" if group.leader is None else str(group.leader["metadata"].get("uid", ""))
