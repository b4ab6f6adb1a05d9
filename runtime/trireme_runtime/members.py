"""The other pods of the group, as their launchers describe them, and what follows for this one.

The launchers start their engines together: a leader when every worker waits, a worker when its leader loads.
So no engine meets one of an earlier start (which would hang it), the engines' own join timeout does not have
to cover image pulls, and a container restarted in place inside a group that is about to be recreated loads
nothing. After that only the pods seen at the start count, told by their UIDs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from trireme_runtime.preflight import report
from trireme_runtime.preflight.report import Report
from trireme_runtime.stage import Stage


@dataclass(frozen=True)
class Member:
    """What another pod's launcher says about itself; ``unfinished`` requests are None where nobody counts them."""

    pod_uid: str
    stage: str
    reason: str
    engine_running: bool
    engine_healthy: bool = True
    unfinished: int | None = None
    pod: str = ""
    preflight: Report | None = None


def parse(body: bytes) -> Member:
    """A member from the answer of its ``/statusz``; raises ValueError when that is no status of a launcher."""
    try:
        document = json.loads(body)
        return Member(
            pod_uid=str(document["podUID"]),
            stage=str(document["stage"]),
            reason=str(document["reason"]),
            engine_running=bool(document["engine"]["running"]),
            engine_healthy=bool(document["engine"]["healthy"]),
            unfinished=_count(document["engine"].get("unfinished")),
            pod=str(document.get("pod", "")),
            preflight=report.parse(document.get("preflight")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the answer is no status of a launcher: {type(error).__name__}: {error}") from None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


def worker_address(leader_address: str, index: int) -> str:
    """The DNS name of the worker: LeaderWorkerSet calls it ``<leader pod>-<index>``, in the same subdomain."""
    leader, dot, domain = leader_address.partition(".")
    return f"{leader}-{index}{dot}{domain}"


def leader_waits_for(workers: Mapping[int, Member], met: Mapping[int, str] | None = None) -> str:
    """Why a leader must not start its engine yet; empty when all the workers (by index) wait for it.

    ``met`` are the UIDs of those whose preflight this leader leads: they, and no others, may also be in it.
    """
    for index, worker in workers.items():
        if met is not None and worker.pod_uid != met.get(index):
            return f"worker {index} was replaced by another pod"
        if worker.stage != Stage.WAITING.value and (met is None or worker.stage != Stage.PREFLIGHT.value):
            return f"worker {index} is {worker.stage}: its pod belongs to an earlier start of the group"
    return ""


def worker_waits_for(leader: Member) -> str:
    """Why a worker must not start its engine yet."""
    if leader.stage == Stage.LOADING.value and leader.engine_running:
        return ""
    return _said("the leader", leader)


def leader_obstacle(workers: Mapping[int, Member], joined: Mapping[int, str]) -> str:
    """Why the group of a started leader cannot serve; ``joined`` are the UIDs of the workers at the start.

    A worker whose engine answers HTTP counts when it does: replicas that step together are one engine.
    """
    for index, worker in workers.items():
        if worker.pod_uid != joined.get(index):
            return f"worker {index} was replaced by another pod"
        if not worker.engine_running:
            return f"the engine of {_said(f'worker {index}', worker)} does not run"
        if not worker.engine_healthy:
            return f"the engine of worker {index} does not answer its /health"
    return ""


def worker_obstacle(leader: Member, joined: str) -> str:
    """Why a started worker's group is not ready; ``joined`` is the UID of the leader at the start."""
    if leader.pod_uid != joined:
        return "the leader was replaced by another pod"
    return "" if leader.stage == Stage.READY.value else _said("the leader", leader)


def _said(who: str, member: Member) -> str:
    reason = f": {member.reason}" if member.reason else ""
    return f"{who} ({member.stage}{reason})"
