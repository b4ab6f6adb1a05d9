"""What the plan estimates for a rank's memory against what vLLM says in its log after loading and profiling."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from e2e.gpu.machine import Machine
from e2e.gpu.pods import Group
from trireme_operator.api import InferenceCluster
from trireme_operator.planning import geometry, model_fit, read_text

Obj = dict[str, Any]

LIMIT: Final = 0.10
_GIB: Final = 1 << 30
_WEIGHTS: Final = re.compile(r"Model loading took ([0-9.]+) GiB")
_ROOM: Final = re.compile(r"Available KV cache memory: ([0-9.]+) GiB")


def room_reported(group: Group) -> int | None:
    """Bytes of the KV cache of the rank that has the least; None until every pod whose engine says it has said it."""
    found = [_found(_ROOM, group, index) for index in range(group.layout.pods)]
    if not found[0]:
        return None
    return int(min(value for each in found for value in each) * _GIB)


def compare(cluster: InferenceCluster, model: Path, group: Group, machine: Machine) -> Obj:
    """Each pipeline stage's estimate beside the figures of the pods, and the greatest share they differ by.

    Pods whose engine does not log a figure are left out of it.
    """
    if machine.rehearsal:
        return {"not_run": "ranks on processors have no memory of a device"}
    fit = model_fit(cluster, geometry(cluster), read_text((model / "config.json").read_text()))
    if fit.memory is None:
        return {"not_run": fit.note}
    estimate = fit.memory
    stages = []
    for each in estimate.stages:
        pods = _pods_of(group, each.stage.number)
        weights = [value for index in pods for value in _found(_WEIGHTS, group, index)]
        room = [value for index in pods for value in _found(_ROOM, group, index)]
        planned_room = estimate.room_bytes(each)
        stages.append(
            {
                "stage": each.stage.number,
                "weights_planned_gib": round(each.weights / _GIB, 3),
                "weights_reported_gib": weights,
                "weights_off": _off(each.weights, weights),
                "room_planned_gib": None if planned_room is None else round(planned_room / _GIB, 3),
                "room_reported_gib": room,
                "room_off": _off(planned_room, room),
                "activations_planned_gib": round(each.activations / _GIB, 3),
            }
        )
    offs = [stage[key] for stage in stages for key in ("weights_off", "room_off") if stage[key] is not None]
    worst = max((abs(each) for each in offs if isinstance(each, float)), default=None)
    return {"stages": stages, "worst_off": worst, "limit": LIMIT, "passed": worst is not None and worst <= LIMIT}


def _pods_of(group: Group, stage: int) -> list[int]:
    """The pods that have ranks of a stage."""
    layout = group.layout
    ranks = [rank for rank in range(layout.world) if rank // layout.tensor % layout.pipeline == stage]
    return sorted({rank // layout.per_pod for rank in ranks})


def _found(pattern: re.Pattern[str], group: Group, index: int) -> list[float]:
    return [float(value) for value in pattern.findall(group.output(index))]


def _off(planned: int | None, reported: list[float]) -> float | None:
    """By which share of what was reported the plan is too high; the worst of all ranks."""
    if planned is None or not reported:
        return None
    return max((round(planned / _GIB / value - 1, 4) for value in reported), key=abs)
