"""Groups that are out of the Services by a label of their pods, though they are ready.

A group whose leader says nothing while others of its zone do. Nobody is taken out where all are silent, which the
weights are for, and not the last group that may be sent to. And a group on a node that is about to be emptied, as
`planning/maintenance.py` decides.

It works with any gateway and with none. The labels on the pods, one that says so and one that says why, are all the
memory there is.
"""

from collections.abc import Mapping, Sequence

import structlog

from trireme_operator.api.labels import (
    FIELD_MANAGER,
    LABEL_ROTATION,
    LABEL_ROTATION_REASON,
    ROTATION_IN,
    ROTATION_MAINTENANCE,
    ROTATION_OUT,
)
from trireme_operator.collector import Listening
from trireme_operator.controller.groups import Group
from trireme_operator.controller.maintenance import is_out_for_maintenance, is_silent
from trireme_operator.controller.scope import ChildError, Scope
from trireme_operator.controller.traffic import ListenFn, is_out, is_witnessed
from trireme_operator.kube import POD, Conflict, KubeError, NotFound, Obj
from trireme_operator.planning import Pace, Upkeep

_NOBODY: frozenset[int] = frozenset()
_GONE_SECONDS = 1.0
"""Its event is on its way."""


async def rotate(
    scope: Scope,
    groups: Mapping[str | None, Sequence[Group]],
    listen: ListenFn,
    pace: Pace,
    upkeep: Mapping[str | None, Upkeep],
) -> float | None:
    """Change the labels that are due; returns the seconds until another one may be."""
    waits: list[float] = []
    for zone, found in groups.items():
        heard = {group.index: listen([_uid(group)]) for group in found if group.ready and group.leader is not None}
        kept = upkeep[zone].out if zone in upkeep else _NOBODY
        for group in (each for each in found if each.index in heard):
            listening = heard[group.index]
            if is_out_for_maintenance(group) and group.index in kept:
                continue
            if is_out_for_maintenance(group) and not is_silent(listening, pace):
                waits.append(await _label(scope, group, ROTATION_IN))
            elif group.index in kept and not is_out(group):
                waits.append(await _label(scope, group, ROTATION_OUT, reason=ROTATION_MAINTENANCE))
            elif listening is not None:
                wait = await _by_voice(scope, group, listening, pace, witnessed=_has_witness(group, found, heard))
                waits += [] if wait is None else [wait]
    return min(waits, default=None)


async def _by_voice(scope: Scope, group: Group, listening: Listening, pace: Pace, *, witnessed: bool) -> float | None:
    """What is due because its leader is heard, or is not; returns the seconds until that may be something else."""
    if is_out(group):
        steady = listening.steady
        if steady is None:
            return None
        return await _label(scope, group, ROTATION_IN) if steady >= pace.dwell else pace.dwell - steady
    if listening.silence is None or listening.heard is None:
        return None
    if listening.silence < pace.detect:
        return pace.detect - listening.silence
    return await _label(scope, group, ROTATION_OUT) if witnessed else None


def _has_witness(group: Group, groups: Sequence[Group], heard: Mapping[int, Listening | None]) -> bool:
    """Whether another group of the zone, which may be sent to, was heard well after this one fell silent."""
    own = heard[group.index]
    if own is None or own.silence is None:
        return False
    others = [heard[each.index] for each in groups if each is not group and each.index in heard and not is_out(each)]
    return is_witnessed(own.silence, [each for each in others if each is not None])


async def _label(scope: Scope, group: Group, value: str, *, reason: str | None = None) -> float:
    """Label the group's serving pods; returns the seconds until the next reconcile, which goes by the labels."""
    soon = 0.0
    for pod in group.pods:
        if pod is not group.leader and LABEL_ROTATION not in (pod["metadata"].get("labels") or {}):
            continue
        name = pod["metadata"]["name"]
        metadata: Obj = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
        metadata["labels"] = {LABEL_ROTATION: value, LABEL_ROTATION_REASON: reason}
        try:
            await scope.confirm()
            structlog.get_logger().warning("Rotation changes", child=name, rotation=value, reason=reason)
            await scope.api.merge(POD, {"metadata": metadata}, manager=FIELD_MANAGER)
        except (NotFound, Conflict):
            soon = _GONE_SECONDS  # it is gone, or another pod has its name
        except KubeError as error:
            scope.errors.append(ChildError(POD, name, error))
    return soon


def _uid(group: Group) -> str:
    return "" if group.leader is None else str(group.leader["metadata"].get("uid", ""))
