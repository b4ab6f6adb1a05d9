"""What another pod's launcher says about itself in its ``/statusz``, and what follows before the engines start.

The launchers start their engines together: a leader when every worker waits, a worker when its leader loads.
So no engine meets one of an earlier start (which would hang it), the engines' own join timeout does not have
to cover image pulls, and a container restarted in place inside a group that is about to be recreated loads
nothing. After that only the pods that joined this start count: see membership.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from trireme_runtime.preflight import report
from trireme_runtime.preflight.report import Report
from trireme_runtime.stage import Stage
from trireme_runtime.termination import Cause

_STARTING = {Stage.LOADING.value, Stage.FETCHING.value, Stage.COMPILING.value}
_BEFORE_THE_START = {Stage.HELD.value, Stage.PREFLIGHT.value}


@dataclass(frozen=True)
class Member:
    """One answer. Fields with a default are missing in the answers of older launchers.

    unfinished: requests, None where nobody counts them.
    epoch: UID of the leader of the start that the pod has joined, None before it has.
    ever_ready: its group has served since its engine was started.
    failure: the first cause that it knows, once it has failed.
    """

    pod_uid: str
    stage: str
    reason: str
    engine_running: bool
    engine_healthy: bool = True
    unfinished: int | None = None
    pod: str = ""
    preflight: Report | None = None
    epoch: str | None = None
    ever_ready: bool = False
    failure: Cause | None = None

    @property
    def said(self) -> str:
        """Its stage and reason."""
        return f"{self.stage}: {self.reason}" if self.reason else self.stage


def parse(body: bytes) -> Member:
    """A member from the answer of its ``/statusz``; raises ValueError when that is no status of a launcher."""
    try:
        document = json.loads(body)
        epoch = document.get("epoch")
        return Member(
            pod_uid=str(document["podUID"]),
            stage=str(document["stage"]),
            reason=str(document["reason"]),
            engine_running=bool(document["engine"]["running"]),
            engine_healthy=bool(document["engine"]["healthy"]),
            unfinished=_count(document["engine"].get("unfinished")),
            pod=str(document.get("pod") or ""),
            preflight=report.parse(document.get("preflight")),
            epoch=None if epoch is None else str(epoch),
            ever_ready=document.get("everReady") is True,
            failure=_cause(document.get("failure")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the answer is no status of a launcher: {type(error).__name__}: {error}") from None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _cause(value: object) -> Cause | None:
    if not isinstance(value, dict) or not value.get("reason"):
        return None
    signal = value.get("signal")
    return Cause(
        reason=str(value["reason"]),
        message=str(value.get("message") or ""),
        exit_code=_count(value.get("exitCode")),
        signal=None if signal is None else str(signal),
        log=tuple(str(line) for line in value.get("log") or ()),
        pod=str(value.get("pod") or ""),
        rank=_count(value.get("rank")),
        at=str(value.get("at") or ""),
    )


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
        if met is not None and worker.stage == Stage.PREFLIGHT.value:
            continue
        if worker.stage in _BEFORE_THE_START:
            return f"worker {index} ({worker.said})"
        if worker.stage != Stage.WAITING.value:
            return f"worker {index} is {worker.stage}: its pod belongs to an earlier start of the group"
    return ""


def worker_waits_for(leader: Member) -> str:
    """Why a worker must not start its engine yet. The engine of a group that has served lets nobody join."""
    if leader.ever_ready:
        return f"the leader ({leader.said}) has served already: it belongs to an earlier start of the group"
    if leader.stage in _STARTING and leader.engine_running:
        return ""
    return f"the leader ({leader.said})"
