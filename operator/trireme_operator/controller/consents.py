"""May a group be ended on suspicion alone (silence, a stall)? One group of a zone at a time, as its launchers ask.

A launcher that hears nothing of another pod can't tell a death from a network that is cut, which may make all groups of
a zone look dead. Whether another group has just been ended so, and loads again, everybody sees: from the history
annotation and the pods. That a group has been let go and has not ended yet only the one who let it go knows, so only
the holder of the Lease answers, and one that has just become the holder waits until what the last one allowed is to be
seen. Nobody proves who he is, so what asking can do is bounded: only for a group that is out of rotation, and it puts
off the others for `GRANT_SECONDS` in `RENEW_SECONDS`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Protocol

import structlog

from trireme_operator.controller.causes import is_ready
from trireme_operator.controller.failures import recall
from trireme_operator.controller.store import Store
from trireme_operator.controller.times import timestamp
from trireme_operator.kube import LEADER_WORKER_SET, POD, Obj

GRANT_SECONDS: Final = 30.0
"""From the consent until the end of the group is written down: its engines are killed, its pods report, we write."""
RENEW_SECONDS: Final = 600.0
"""A group that was let go and goes on, with the same leader, puts off the others again only after this."""
LOADING_SECONDS: Final = 1800
"""For so long after its end a group that is not ready again puts off the others."""
SUSPICIONS: Final = frozenset({"Stalled", "MemberLost", "EngineUnhealthy"})
"""Reasons of launchers that name no proof (docs/contract.md)."""
_REMEMBERED: Final = 1024


class Led(Protocol):
    """Who knows whether this process works."""

    @property
    def led_for(self) -> float | None:
        """Seconds since it took over; None while it may not write."""
        ...


class Consents:
    """The answers. `clock` gives the wall-clock time in UTC, `monotonic` seconds."""

    def __init__(
        self, store: Store, led: Led, *, clock: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._led = led
        self._clock = clock
        self._monotonic = monotonic
        self._let_go: OrderedDict[tuple[str, str], dict[int, tuple[str, float]]] = OrderedDict()

    def answer(self, namespace: str, name: str, group: int) -> dict[str, Any] | None:
        """As docs/contract.md has it; None when another operator is the one to ask."""
        led_for = self._led.led_for
        if led_for is None:
            return None
        set_ = self._store.get(LEADER_WORKER_SET, (namespace, name))
        if set_ is None:
            return {"end": True}
        why = self._against(set_, group)
        if not why and led_for < GRANT_SECONDS:
            why = "the operator has just taken over, and what the last one allowed is not to be seen yet"
        if why:
            return {"end": False, "cause": why}
        self._note(namespace, name, group)
        return {"end": True}

    def _against(self, set_: Obj, group: int) -> str:
        namespace, name = set_["metadata"]["namespace"], set_["metadata"]["name"]
        leader = self._leader(namespace, name, group)
        if leader is not None and is_ready(leader):
            return f"pod {name}-{group} is ready"
        now = self._monotonic()
        for other, (_, since) in self._let_go.get((namespace, name), {}).items():
            if other != group and now - since < GRANT_SECONDS:
                return f"group {other} of the zone is being ended"
        return self._loading(set_, group)

    def _loading(self, set_: Obj, group: int) -> str:
        """Which other group was ended on suspicion and is not ready again."""
        namespace, name = set_["metadata"]["namespace"], set_["metadata"]["name"]
        replicas = (set_.get("spec") or {}).get("replicas", 1)
        oldest = int(self._clock().timestamp()) - LOADING_SECONDS
        for failure in reversed(recall(set_).failures):
            others = failure.group != group and failure.group < replicas
            if not others or failure.reason not in SUSPICIONS or failure.time <= oldest:
                continue
            leader = self._leader(namespace, name, failure.group)
            if leader is None or leader["metadata"]["uid"] == failure.epoch or not is_ready(leader):
                ended = f"group {failure.group} of the zone ended at {timestamp(failure.time)} ({failure.reason})"
                return f"{ended} and is not ready again"
        return ""

    def _note(self, namespace: str, name: str, group: int) -> None:
        groups = self._let_go.setdefault((namespace, name), {})
        self._let_go.move_to_end((namespace, name))
        leader = self._leader(namespace, name, group)
        epoch, now = "" if leader is None else str(leader["metadata"]["uid"]), self._monotonic()
        before, since = groups.get(group, ("", float("-inf")))
        if epoch != before or now - since >= RENEW_SECONDS:
            groups[group] = epoch, now
            structlog.get_logger().warning("A group may be ended on suspicion", child=name, group=group)
        if len(self._let_go) > _REMEMBERED:
            self._let_go.popitem(last=False)

    def _leader(self, namespace: str, name: str, group: int) -> Obj | None:
        return self._store.get(POD, (namespace, f"{name}-{group}"))
