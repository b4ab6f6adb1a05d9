"""Drills that end or freeze processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from e2e import api, processes
from e2e.api import Obj
from e2e.drills import memory
from e2e.drills.client import Shape
from e2e.drills.drill import Act, Cause, Drill, Scene
from e2e.drills.outcomes import recreated
from e2e.drills.target import LOST_SECONDS, STALL_SECONDS, Engine

_RUNS = re.compile(r"^vllm:num_requests_running\{.*\} [1-9]", re.MULTILINE)
_EXHAUSTED_SECONDS = 300.0
_STALLED = {
    "out_of_rotation_seconds": STALL_SECONDS + 5.0,
    "last_failed_seconds": STALL_SECONDS + 8.0,
    "recovered_seconds": STALL_SECONDS + 30.0,
}
_LASTING = Shape(2, tokens=48)
"""Answers that a real model takes a second for, so that one is at work most of the time."""
_VLLM, _DOUBLE = frozenset({Engine.VLLM}), frozenset({Engine.DOUBLE})


def uid(pod: Obj) -> str:
    return str(pod["metadata"]["uid"])


def _send(number: signal.Signals, find: Callable[[str], int], index: int) -> Act:
    def act(scene: Scene) -> float:
        pid = find(uid(scene.group[index]))
        at = time.monotonic()
        os.kill(pid, number)
        return at

    return act


def delete_worker(scene: Scene) -> float:
    at = time.monotonic()
    target = scene.target
    target.kube.delete(f"/api/v1/namespaces/{target.namespace}/pods/{scene.worker['metadata']['name']}")
    return at


def _kill_operator_and_engine(scene: Scene) -> float:
    victim = processes.engine(uid(scene.worker))
    processes.kill_operator(scene.target.kube)
    at = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    return at


def _freeze_rank(scene: Scene) -> float:
    """While a request runs, as the engine says: a step that hangs when nothing ran before it is not told by it."""
    victim = processes.rank(uid(scene.worker))
    engine = f"{scene.target.engine_path(scene.leader)}/metrics"
    api.wait_until(
        lambda: _RUNS.search(scene.target.kube.text("GET", engine)),
        timeout_seconds=60,
        what="a request to run",
        interval_seconds=0.05,
    )
    at = time.monotonic()
    os.kill(victim, signal.SIGSTOP)
    return at


def _hang(scene: Scene) -> float:
    """No step ends any more, as when a rank in a collective operation is frozen."""
    engine = f"{scene.target.engine_path(scene.leader)}/double"
    kube = scene.target.kube
    # A step that hangs when nothing ran before it is not told by the engine.
    api.wait_until(
        lambda: kube.get(f"{engine}/state")["running"],
        timeout_seconds=30,
        what="a request to run",
        interval_seconds=0.05,
    )
    at = time.monotonic()
    kube.text("POST", f"{engine}/hang")
    return at


def _exhaust(scene: Scene) -> float:
    """The kernel ends a worker's rank for want of memory: it is the first choice, and something takes all the rest."""
    find = processes.rank if scene.target.engine is Engine.VLLM else processes.engine
    pod = uid(scene.worker)
    victim = find(pod)
    memory.prefer(victim, others=set(processes.of_pod(pod)) - {victim})
    with subprocess.Popen([sys.executable, "-m", "e2e.drills.memory", str(victim)]) as eater:
        try:
            api.wait_until(
                lambda: not processes.alive(victim),
                timeout_seconds=_EXHAUSTED_SECONDS,
                what=f"the kernel to end process {victim}",
                interval_seconds=0.02,
            )
            return time.monotonic()
        finally:
            eater.kill()


PROCESS_DRILLS = (
    Drill(
        "rank-killed",
        "SIGKILL to the process of a worker's rank",
        _send(signal.SIGKILL, processes.rank, 1),
        recreated,
        Cause((), 1),
        engines=_VLLM,
    ),
    Drill(
        "worker-engine-killed",
        "SIGKILL to a worker's engine",
        _send(signal.SIGKILL, processes.engine, 1),
        recreated,
        Cause(("SIGKILL",), 1),
    ),
    Drill(
        "leader-engine-killed",
        "SIGKILL to a leader's engine",
        _send(signal.SIGKILL, processes.engine, 0),
        recreated,
        Cause(("SIGKILL",), 0),
    ),
    Drill(
        "launcher-killed",
        "SIGKILL to a worker's launcher",
        _send(signal.SIGKILL, processes.launcher, 1),
        recreated,
        Cause(("137",), 1),
    ),
    Drill(
        "rank-out-of-memory",
        "a worker's rank ended by the kernel at the memory limit",
        _exhaust,
        recreated,
        Cause(("OOMKilled", "memory limit"), 1),
    ),
    Drill(
        "rank-frozen",
        "SIGSTOP to the process of a worker's rank, while requests run",
        _freeze_rank,
        recreated,
        Cause(("Stalled",), 0),
        engines=_VLLM,
        limits=_STALLED,
        shape=_LASTING,
    ),
    Drill(
        "engine-hung",
        "no step of the engine ends any more, while requests run",
        _hang,
        recreated,
        Cause(("Stalled",), 0),
        engines=_DOUBLE,
        limits=_STALLED,
    ),
    Drill(
        "leader-engine-frozen",
        "SIGSTOP to a leader's engine",
        _send(signal.SIGSTOP, processes.engine, 0),
        recreated,
        Cause(("EngineUnhealthy",), 0),
        engines=_DOUBLE,
        limits={"recovered_seconds": LOST_SECONDS + 30.0},
    ),
    Drill(
        "worker-pod-deleted",
        "a worker's pod deleted, which is no failure",
        delete_worker,
        recreated,
        limits={"failed": 0},
    ),
    Drill(
        "operator-killed",
        "SIGKILL to the operator, then to a worker's engine",
        _kill_operator_and_engine,
        recreated,
        Cause(("SIGKILL",), 1),
        # Without the operator a zone keeps its share of requests, as errors, until the kubelet starts it again.
        limits={"last_failed_seconds": None},
        weight_moves=False,
    ),
)
