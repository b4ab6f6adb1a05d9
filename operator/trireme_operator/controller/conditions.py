"""Conditions as a map by type, whose transition time moves only when the status does."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from trireme_operator.api import Condition, ConditionType, Reason

_MESSAGE_LIMIT = 4000


class Conditions:
    """Collects the conditions of one reconcile.

    `previous` are the live ones, `now` is the time of a flip. A condition whose status stays keeps its time.
    """

    def __init__(self, previous: Iterable[Mapping[str, Any]], *, generation: int, now: datetime) -> None:
        self._previous = {str(item.get("type")): item for item in previous if isinstance(item, Mapping)}
        self._generation = generation
        self._now = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        self._conditions: dict[ConditionType, Condition] = {}

    def true(self, kind: ConditionType, reason: Reason, message: str = "") -> None:
        """Set a condition to True."""
        self._set(kind, "True", reason, message)

    def false(self, kind: ConditionType, reason: Reason, message: str = "") -> None:
        """Set a condition to False."""
        self._set(kind, "False", reason, message)

    def unknown(self, kind: ConditionType, reason: Reason, message: str = "") -> None:
        """Set a condition to Unknown."""
        self._set(kind, "Unknown", reason, message)

    def get(self, kind: ConditionType) -> Condition | None:
        """A condition set so far."""
        return self._conditions.get(kind)

    def all(self) -> list[Condition]:
        """In the order of the type's definition."""
        return [self._conditions[kind] for kind in ConditionType if kind in self._conditions]

    def _set(self, kind: ConditionType, status: str, reason: Reason, message: str) -> None:
        before = self._previous.get(kind, {})
        same = before.get("status") == status and isinstance(before.get("lastTransitionTime"), str)
        self._conditions[kind] = Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message if len(message) <= _MESSAGE_LIMIT else message[: _MESSAGE_LIMIT - 3] + "...",
            last_transition_time=before["lastTransitionTime"] if same else self._now,
            observed_generation=self._generation,
        )
