"""The last numbers of groups that an autoscaler decided on: a section of what a zone remembers (`history`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from trireme_operator.planning.history import History

SECTION: Final = "decisions"
MAX_DECISIONS: Final = 8


@dataclass(frozen=True)
class Decision:
    """From so many groups to so many. ``time`` in seconds since the epoch.

    ``queue_length``: requests of each group at that time; None where that was no metric, or not known.
    """

    time: int
    before: int
    after: int
    queue_length: int | None = None


def decisions(history: History) -> tuple[Decision, ...]:
    """What is remembered, oldest first; nothing of a section that was spoilt."""
    section = history.others.get(SECTION)
    try:
        return tuple(_decision(item) for item in section) if isinstance(section, list) else ()
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()


def decide(history: History, decision: Decision) -> History:
    """The history with one more decision; the same one when it is no later than the last, or changes no number."""
    known = decisions(history)
    if known:
        # Between two looks there may have been several, and what counts is how it went on from the last known one.
        decision = replace(decision, before=known[-1].after)
        if decision.time <= known[-1].time:
            return history
    if decision.after == decision.before:
        return history
    kept = [*known, decision][-MAX_DECISIONS:]
    return replace(history, others={**history.others, SECTION: [_document(each) for each in kept]})


def _document(decision: Decision) -> dict[str, int]:
    found = {"time": decision.time, "from": decision.before, "to": decision.after}
    return found if decision.queue_length is None else found | {"queue": decision.queue_length}


def _decision(item: Mapping[str, Any]) -> Decision:
    queue = item.get("queue")
    times = (int(item["time"]), int(item["from"]), int(item["to"]))
    return Decision(*times, queue_length=None if queue is None else int(queue))
