"""When a pod that got SIGTERM may stop its engine: decisions only, in seconds since the signal."""

from __future__ import annotations

from dataclasses import dataclass

from trireme_runtime.limits import Limits

LEADER_SILENT_SECONDS = 5.0
"""A draining leader under load may answer late; a leader that is gone refuses, or its name vanishes."""

_REFUSALS = 2
IDLE_SECONDS = 0.5
"""A request is counted by the engine only some milliseconds after it came: one zero is no proof."""


@dataclass(frozen=True)
class Decision:
    """``waits_for`` says what holds the engine; empty = stop it now, at once when ``quick``."""

    waits_for: str
    quick: bool = False


@dataclass(frozen=True)
class LeaderView:
    """What a leader knows: did the group ever serve, what is broken, requests unfinished (None = unknown)."""

    elapsed: float
    served: bool
    broken: str
    unfinished: int | None
    idle_for: float


def leader(view: LeaderView, limits: Limits) -> Decision:
    """A leader of a healthy group lets requests finish; of a broken or never ready one it ends at once."""
    if not view.served or view.broken:
        return Decision("", quick=True)
    if view.elapsed < limits.settle:
        return Decision("endpoints that still send requests here")
    if view.unfinished == 0 and view.idle_for >= IDLE_SECONDS:
        return Decision("")
    if view.elapsed >= limits.drain:
        return Decision("")
    count = "an unknown number of" if view.unfinished is None else str(view.unfinished)
    return Decision(f"{count} unfinished requests")


@dataclass(frozen=True)
class WorkerView:
    """What a worker knows of its leader: proofs in a row that it is gone, seconds of silence.

    lost: another pod is in the leader's place, or the leader's engine no longer runs.
    """

    elapsed: float
    leader_refusals: int
    leader_silent_for: float
    leader_lost: bool


def worker(view: WorkerView, limits: Limits) -> Decision:
    """A worker keeps its ranks until its leader is gone; nothing of it is worth a graceful end after that."""
    gone = (
        view.leader_refusals >= _REFUSALS
        or view.leader_silent_for > LEADER_SILENT_SECONDS
        or view.leader_lost
        or view.elapsed >= limits.drain
    )
    return Decision("" if gone else "the leader, which may still need these ranks", quick=gone)
