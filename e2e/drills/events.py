"""The drills: what is done to one group (or to the operator), and what must follow."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from e2e import processes
from e2e.api import Obj
from e2e.drills.target import Target


@dataclass(frozen=True)
class Drill:
    """``act`` gets the broken group's pods, the leader first, and gives the time of the event (monotonic clock)."""

    name: str
    title: str
    act: Callable[[Target, list[Obj]], float]
    cause: tuple[str, int] | None
    """Words and the index of the pod in its group that the first cause must name; None where nothing fails."""
    needs_operator: bool = True
    """Whether weights and status must follow while it runs."""


def _kill_engine_of(index: int) -> Callable[[Target, list[Obj]], float]:
    def act(_: Target, group: list[Obj]) -> float:
        return _kill(processes.engine(_uid(group[index])))

    return act


def _kill_launcher(_: Target, group: list[Obj]) -> float:
    return _kill(processes.launcher(_uid(group[1])))


def _delete_worker(target: Target, group: list[Obj]) -> float:
    at = time.monotonic()
    target.kube.delete(f"/api/v1/namespaces/{target.namespace}/pods/{group[1]['metadata']['name']}")
    return at


def _kill_operator_and_engine(target: Target, group: list[Obj]) -> float:
    victim = processes.engine(_uid(group[1]))
    processes.kill_operator(target.kube)
    return _kill(victim)


def _kill(pid: int) -> float:
    at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    return at


def _uid(pod: Obj) -> str:
    return str(pod["metadata"]["uid"])


DRILLS = (
    Drill("worker-engine-killed", "SIGKILL to a worker's engine", _kill_engine_of(1), ("SIGKILL", 1)),
    Drill("leader-engine-killed", "SIGKILL to a leader's engine", _kill_engine_of(0), ("SIGKILL", 0)),
    Drill("launcher-killed", "SIGKILL to a worker's launcher", _kill_launcher, ("exit code 137", 1)),
    Drill("worker-pod-deleted", "a worker's pod deleted", _delete_worker, None),
    Drill(
        "operator-killed",
        "SIGKILL to the operator, then to a worker's engine",
        _kill_operator_and_engine,
        ("SIGKILL", 1),
        needs_operator=False,
    ),
)
