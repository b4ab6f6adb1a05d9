"""What of a new status is worth an Event: a pure comparison with the status that stood there before.

The status is written once for each change, so whatever is told here is told once, by whichever operator wrote it, and
a restart tells nothing again. Everything said is a part of the status already: no Event holds more than that.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from trireme_operator.api import ConditionType, Reason


class Happening(StrEnum):
    """Reasons of Events that are no reasons of a condition; the others are those of the condition."""

    ACCEPTED = "Accepted"
    """The spec broke a rule, or something it needs was missing, and that is over."""
    ZONE_SERVING = "ZoneServing"
    """A zone has a ready group and had none."""
    ZONE_LOST = "ZoneLost"
    """A zone had a ready group and has none."""
    READY = "Ready"
    """Everything that was asked for is there."""


class News(NamedTuple):
    """One Event to be."""

    warning: bool
    reason: str
    text: str


_FAILURES = frozenset(
    {
        Reason.IMAGE_NOT_FOUND,
        Reason.NO_CAPACITY,
        Reason.UNSCHEDULABLE,
        Reason.SECRET_MISSING,
        Reason.POD_FAILING,
        Reason.NODE_LOST,
        Reason.HELD,
    }
)
_ROUTE_FAILURES = frozenset(
    {Reason.ROUTE_NOT_ACCEPTED, Reason.BACKENDS_NOT_RESOLVED, Reason.GATEWAY_NOT_FOUND, Reason.APPLY_FAILED}
)


def news(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[News]:
    """What is new in the status `after`, in the order in which it is read."""
    return [*_conditions(_by(before, "conditions", "type"), _by(after, "conditions", "type")), *_zones(before, after)]


def _conditions(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    accepted = after.get(ConditionType.ACCEPTED, {})
    if _differs(before, after, ConditionType.ACCEPTED):
        if accepted.get("status") == "False":
            yield _told(accepted, warning=True)
        elif before.get(ConditionType.ACCEPTED, {}).get("status") == "False":
            yield News(warning=False, reason=Happening.ACCEPTED, text="The resource is accepted")
    progressing = after.get(ConditionType.PROGRESSING, {})
    if _differs(before, after, ConditionType.PROGRESSING):
        if progressing.get("reason") in _FAILURES:
            yield _told(progressing, warning=True)
        elif progressing.get("reason") in {Reason.ROLLING_OUT, Reason.NODE_MAINTENANCE}:
            yield _told(progressing, warning=False)
    routes = after.get(ConditionType.ROUTES_PROGRAMMED, {})
    if _differs(before, after, ConditionType.ROUTES_PROGRAMMED) and routes.get("reason") in _ROUTE_FAILURES:
        yield _told(routes, warning=True)
    ready, was_ready = (each.get(ConditionType.READY, {}).get("status") == "True" for each in (after, before))
    if ready and not was_ready:
        yield News(warning=False, reason=Happening.READY, text="Every group is ready, and traffic reaches them")


def _zones(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    former = _by(before, "zones", "name")
    for name, zone in _by(after, "zones", "name").items():
        ready, was = zone.get("readyGroups") or 0, former.get(name, {}).get("readyGroups") or 0
        where = f"Zone {name}" if name else "The pool"
        if ready and not was:
            yield News(warning=False, reason=Happening.ZONE_SERVING, text=f"{where}: a group is ready")
        elif was and not ready and zone.get("groups"):
            cause = f": {zone['message']}" if zone.get("message") else ""
            yield News(warning=True, reason=Happening.ZONE_LOST, text=f"{where} has no ready group any more{cause}")


def _differs(before: Mapping[str, Any], after: Mapping[str, Any], kind: ConditionType) -> bool:
    told = [[each.get(kind, {}).get(field) for field in ("status", "reason", "message")] for each in (before, after)]
    return told[0] != told[1]


def _told(condition: Mapping[str, Any], *, warning: bool) -> News:
    return News(warning, str(condition.get("reason")), str(condition.get("message")))


def _by(status: Mapping[str, Any], field: str, key: str) -> dict[str, Mapping[str, Any]]:
    return {str(item.get(key)): item for item in status.get(field) or [] if isinstance(item, Mapping)}
