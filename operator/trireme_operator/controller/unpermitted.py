"""The status of a resource while the operator lacks rights: which ones, before anything else is said."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from trireme_operator.api import Condition, ConditionType, Reason
from trireme_operator.controller.conditions import Conditions
from trireme_operator.controller.rights import Missing
from trireme_operator.kube import Obj

_SUMMED_UP = (ConditionType.ACCEPTED, ConditionType.READY)
_UNSEEN = (ConditionType.AVAILABLE, ConditionType.PROGRESSING, ConditionType.ROUTES_PROGRAMMED)


def unpermitted(raw: Obj, status: Obj, missing: Missing, now: datetime) -> Obj:
    """`status`, with the missing rights named, unless the resource is refused for a reason of its own."""
    accepted: Obj = next((item for item in status["conditions"] if item["type"] == ConditionType.ACCEPTED), {})
    if accepted.get("status") == "False" and accepted.get("reason") != Reason.APPLY_FAILED:
        return status
    conditions = _conditions(raw, status, now)
    for kind in _SUMMED_UP:
        conditions.false(kind, Reason.MISSING_PERMISSION, _text(missing))
    return {**status, "conditions": _merged(status["conditions"], conditions.all())}


def unseen(raw: Obj, missing: Missing, now: datetime) -> Obj:
    """The status when children or pods can't be seen: nothing is touched, and of groups and traffic nothing is claimed.

    What the status said of the zones stays, as what was last seen.
    """
    live = raw.get("status") or {}
    status = {**live, "observedGeneration": int(raw["metadata"].get("generation") or 0)}
    conditions = _conditions(raw, status, now)
    for kind in _SUMMED_UP:
        conditions.false(kind, Reason.MISSING_PERMISSION, _text(missing))
    told = {item.get("type") for item in live.get("conditions") or []}
    for kind in _UNSEEN:
        if kind != ConditionType.ROUTES_PROGRAMMED or kind in told:
            text = "Groups and routes can't be seen; see the condition Accepted"
            conditions.unknown(kind, Reason.MISSING_PERMISSION, text)
    return {**status, "conditions": _dumped(conditions.all())}


def _conditions(raw: Obj, status: Mapping[str, Any], now: datetime) -> Conditions:
    before = (raw.get("status") or {}).get("conditions") or []
    return Conditions(before, generation=int(status.get("observedGeneration") or 0), now=now)


def _text(missing: Missing) -> str:
    text = str(missing)
    return text[0].upper() + text[1:]


def _merged(conditions: list[Obj], ours: list[Condition]) -> list[Obj]:
    by_type = {item["type"]: item for item in _dumped(ours)}
    return [by_type.get(item["type"], item) for item in conditions]


def _dumped(conditions: list[Condition]) -> list[Obj]:
    return [item.model_dump(mode="json", by_alias=True, exclude_none=True) for item in conditions]
