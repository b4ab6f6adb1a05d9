"""Metrics made from what ``/statusz`` says, so that both tell the same; what it does not say has no metric.

The shapes are those of docs/contract.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from trireme_runtime.metrics import head, labels
from trireme_runtime.stage import Stage

_PREFIX = "trireme_launcher_"


def lines(status: Mapping[str, Any], now: float, *, restarted_in_place: bool) -> list[str]:
    """All of them, as text; ``now`` in seconds since the epoch."""
    name = f"{_PREFIX}restarted_in_place"
    restarted = [
        *head(name, "1 when the container was restarted inside the same pod."),
        _sample(name, restarted_in_place),
    ]
    told = (_health(status), _members(status), _stages(status, now), _drain(status, now), _proofs(status))
    return [*restarted, *(line for each in told for line in each)]


def _health(status: Mapping[str, Any]) -> Iterator[str]:
    if status["role"] == "leader":
        yield from head(f"{_PREFIX}group_healthy", "1 while the group serves: every pod of it, and the engine.")
        yield _sample(f"{_PREFIX}group_healthy", status["stage"] == Stage.READY.value)
    engine = status["engine"]
    yield from head(f"{_PREFIX}rank_healthy", "1 while the engine of a rank of this pod runs and answers.")
    for rank in status["ranks"]:
        healthy = bool(engine["running"] and engine["healthy"])
        yield _sample(f"{_PREFIX}rank_healthy", healthy, rank=rank["global"])


def _members(status: Mapping[str, Any]) -> Iterator[str]:
    members = status.get("members") or []
    if not members:
        return
    yield from head(f"{_PREFIX}member_alive", "1 while this launcher hears that of another pod of its group.")
    for member in members:
        yield _sample(f"{_PREFIX}member_alive", member["state"] == "Alive", member=member["index"])
    yield from head(f"{_PREFIX}heartbeat_age_seconds", "Since this launcher heard that of another pod of its group.")
    for member in members:
        if member.get("heartbeatAge") is not None:
            yield _sample(f"{_PREFIX}heartbeat_age_seconds", float(member["heartbeatAge"]), member=member["index"])


def _stages(status: Mapping[str, Any], now: float) -> Iterator[str]:
    """Summed over the times that a group was in the same stage."""
    spent: dict[str, float] = {}
    for each in status.get("stages") or [{"stage": status["stage"], "seconds": _since(status["stageSince"], now)}]:
        spent[each["stage"]] = spent.get(each["stage"], 0.0) + float(each["seconds"])
    yield from head(f"{_PREFIX}stage_seconds", "Time that the pod has spent in a stage.")
    for stage, seconds in spent.items():
        yield _sample(f"{_PREFIX}stage_seconds", seconds, stage=stage)
    moved = [each for each in status.get("stages") or [] if each.get("bytes") is not None]
    for name, key, text in (("bytes", "bytes", "Bytes read"), ("total_bytes", "totalBytes", "Bytes to read")):
        known = {each["stage"]: each[key] for each in moved if each.get(key) is not None}
        if known:
            yield from head(f"{_PREFIX}stage_{name}", f"{text} in a stage.")
        for stage, count in known.items():
            yield _sample(f"{_PREFIX}stage_{name}", int(count), stage=stage)


def _drain(status: Mapping[str, Any], now: float) -> Iterator[str]:
    if status["stage"] == Stage.DRAINING.value:
        yield from head(f"{_PREFIX}drain_seconds", "How long the drain that is under way has lasted.")
        yield _sample(f"{_PREFIX}drain_seconds", _since(status["stageSince"], now))


def _proofs(status: Mapping[str, Any]) -> Iterator[str]:
    if "stalled" in status:
        yield from head(f"{_PREFIX}stalled", "1 while requests run and nothing moves.")
        yield _sample(f"{_PREFIX}stalled", status["stalled"] is not None)
    canary = status.get("canary")
    if canary is not None:
        yield from head(f"{_PREFIX}canary_passed", "1 when the last canary completion passed.")
        yield _sample(f"{_PREFIX}canary_passed", bool(canary["passed"]))
        if canary.get("seconds") is not None:
            yield from head(f"{_PREFIX}canary_seconds", "How long the last canary completion took.")
            yield _sample(f"{_PREFIX}canary_seconds", float(canary["seconds"]))
    if status.get("held") is not None:
        yield from head(f"{_PREFIX}held_failures", "Failures of the group for which its start is held back.")
        yield _sample(f"{_PREFIX}held_failures", int(status["held"]["failures"]))


def _since(stamp: str, now: float) -> float:
    began = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return max(0.0, now - began.timestamp())


def _sample(name: str, value: float, **told: object) -> str:
    """A truth is 1 or 0, and seconds are given to the millisecond."""
    shown = round(value, 3) if isinstance(value, float) else int(value)
    return f"{name}{labels({key: str(each) for key, each in told.items()}) if told else ''} {shown}"
