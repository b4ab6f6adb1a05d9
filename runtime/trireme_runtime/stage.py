"""The stage of a pod, a function of what is known now: nothing is remembered that could be out of date."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Stage(str, enum.Enum):
    """Where a pod is between its start and its end; see docs/contract.md."""

    WAITING = "Waiting"
    HELD = "Held"
    PREFLIGHT = "Preflight"
    LOADING = "Loading"
    READY = "Ready"
    DRAINING = "Draining"
    FAILED = "Failed"


@dataclass(frozen=True)
class Facts:
    """What decides the stage; an empty text means that there is nothing to say.

    before: the stage of a pod whose engine has not been started (Waiting or Held).
    obstacle: on a leader why the group cannot serve, on a worker why the leader says that it does not.
    failure: the first cause, once there is one.
    draining: what the drain waits for, once SIGTERM came.
    preflight: whether node and network are being proven now.
    """

    engine_running: bool = False
    obstacle: str = ""
    before: Stage = Stage.WAITING
    failure: str = ""
    draining: str = ""
    preflight: bool = False


def judge(facts: Facts) -> tuple[Stage, str]:
    """The stage and the reason why it is not a later one."""
    if facts.failure:
        return Stage.FAILED, facts.failure
    if facts.draining:
        return Stage.DRAINING, facts.draining
    if not facts.engine_running:
        return Stage.PREFLIGHT if facts.preflight else facts.before, facts.obstacle
    if facts.obstacle:
        return Stage.LOADING, facts.obstacle
    return Stage.READY, ""


def is_ready(stage: Stage, *, serves: bool, engine_running: bool) -> bool:
    """Whether the pod may be counted: one that answers HTTP when its group serves, another while it holds its ranks."""
    if serves:
        return stage is Stage.READY
    return engine_running and stage is not Stage.FAILED
