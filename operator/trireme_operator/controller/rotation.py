"""Groups whose leader says nothing while others of its zone do: their pods are taken out of the Services by a label.

It works with any gateway and with none. Nobody is taken out where all are silent, which the weights are for, and not
the last group that may be sent to. The label on the pod is all the memory there is.
"""

from collections.abc import Mapping, Sequence

import structlog

from trireme_operator.api.labels import FIELD_MANAGER, LABEL_ROTATION, ROTATION_IN, ROTATION_OUT
from trireme_operator.collector import Listening
from trireme_operator.controller.groups import Group
from trireme_operator.controller.scope import ChildError, Scope
from trireme_operator.controller.traffic import ListenFn, is_out, is_witnessed
from trireme_operator.kube import POD, Conflict, KubeError, NotFound, Obj
from trireme_operator.planning import Pace


async def rotate(
    scope: Scope, groups: Mapping[str | None, Sequence[Group]], listen: ListenFn, pace: Pace
) -> float | None:
    """Change the labels that are due; returns the seconds until another one may be."""
    waits: list[float] = []
    for found in groups.values():
        heard = {group.index: listen([_uid(group)]) for group in found if group.ready and group.leader is not None}
        for group in found:
            listening = heard.get(group.index)
            if listening is None:
                continue
            if is_out(group):
                steady = listening.steady
                if steady is not None and steady >= pace.dwell:
                    await _label(scope, group, ROTATION_IN)
                elif steady is not None:
                    waits.append(pace.dwell - steady)
            elif listening.silence is not None and listening.heard is not None:
                if listening.silence < pace.detect:
                    waits.append(pace.detect - listening.silence)
                elif _has_witness(group, listening.silence, found, heard):
                    await _label(scope, group, ROTATION_OUT)
    return min(waits, default=None)


def _has_witness(group: Group, silence: float, groups: Sequence[Group], heard: Mapping[int, Listening | None]) -> bool:
    """Whether another group of the zone, which may be sent to, was heard well after this one fell silent."""
    others = [heard[each.index] for each in groups if each is not group and each.index in heard and not is_out(each)]
    return is_witnessed(silence, [each for each in others if each is not None])


async def _label(scope: Scope, group: Group, value: str) -> None:
    for pod in group.pods:
        if pod is not group.leader and LABEL_ROTATION not in (pod["metadata"].get("labels") or {}):
            continue
        name = pod["metadata"]["name"]
        metadata: Obj = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
        metadata["labels"] = {LABEL_ROTATION: value}
        try:
            await scope.confirm()
            structlog.get_logger().warning("Rotation changes", child=name, rotation=value)
            await scope.api.merge(POD, {"metadata": metadata}, manager=FIELD_MANAGER)
        except (NotFound, Conflict):
            continue  # it is gone, or another pod has its name
        except KubeError as error:
            scope.errors.append(ChildError(POD, name, error))


def _uid(group: Group) -> str:
    return "" if group.leader is None else str(group.leader["metadata"].get("uid", ""))
