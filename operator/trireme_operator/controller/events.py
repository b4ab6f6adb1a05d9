"""The operator's own Events: rare, the same one never twice in a row, and never in the way of a reconcile.

`Recorder.tell` only puts them aside; `run` writes them one by one. What can't be written is dropped: an Event is a
help for people, the truth is in the status.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from trireme_operator.api.labels import FIELD_MANAGER
from trireme_operator.controller.metrics import Metrics
from trireme_operator.controller.news import News, news
from trireme_operator.kube import EVENT, INFERENCE_CLUSTER, KubeApi, KubeError, NotLeading, Obj

CONTROLLER = "trireme.dev/operator"
BURST = 10
"""Events of one resource at once; then one each `REFILL_SECONDS`."""
REFILL_SECONDS = 60.0
SAME_SECONDS = 600.0
"""The same news within this time is the same Event, with a greater count."""
NOTE_LIMIT_BYTES = 1024
_WAITING_LIMIT = 1000
_REMEMBERED = 2000
_INSTANCE_LIMIT = 128


@dataclass
class _Told:
    """An Event that was written."""

    name: str
    time: str
    count: int
    at: float


@dataclass
class _Budget:
    """How many Events a resource may still cause."""

    left: float
    at: float


class Recorder:
    """Tells what is new in a status. `now` gives the wall-clock time in UTC, `clock` monotonic seconds."""

    def __init__(
        self,
        api: KubeApi,
        metrics: Metrics,
        *,
        instance: str,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._metrics = metrics
        self._instance = instance[:_INSTANCE_LIMIT] or "trireme-operator"
        self._now = now
        self._clock = clock
        self._waiting: asyncio.Queue[tuple[Obj, News]] = asyncio.Queue(_WAITING_LIMIT)
        self._told: OrderedDict[tuple[str, News], _Told] = OrderedDict()
        self._budgets: OrderedDict[str, _Budget] = OrderedDict()

    def tell(self, raw: Obj, status: Mapping[str, Any]) -> None:
        """Put aside what `status`, which was just written, says that the status of `raw` did not."""
        metadata = {key: raw["metadata"][key] for key in ("name", "namespace", "uid")}
        for item in news(raw.get("status") or {}, status):
            if not self._affords(metadata["uid"]) or self._waiting.full():
                self._metrics.events.labels("dropped").inc()
                continue
            self._waiting.put_nowait((metadata, item))

    async def run(self) -> None:
        """Write what was put aside, for ever."""
        while True:
            await self.write(*await self._waiting.get())

    async def write(self, metadata: Obj, item: News) -> None:
        """Write one Event, or count the same one up."""
        key, now = (metadata["uid"], item), self._clock()
        told = self._told.get(key)
        if told is None or now - told.at > SAME_SECONDS:
            stamp = _stamp(self._now())
            digest = hashlib.sha256(repr((key, stamp)).encode()).hexdigest()[:16]
            told = _Told(f"{metadata['name']}.{digest}", stamp, 0, now)
        told.count, told.at = told.count + 1, now
        _remember(self._told, key, told)
        try:
            await self._api.apply(EVENT, self._event(metadata, item, told), manager=FIELD_MANAGER)
        except (KubeError, NotLeading) as error:
            self._metrics.events.labels("dropped").inc()
            structlog.get_logger().info(
                "Dropping an Event", namespace=metadata["namespace"], name=metadata["name"], reason=str(error)
            )
        else:
            self._metrics.events.labels("written").inc()

    def _affords(self, uid: str) -> bool:
        now = self._clock()
        budget = self._budgets.get(uid) or _Budget(BURST, now)
        budget.left = min(float(BURST), budget.left + (now - budget.at) / REFILL_SECONDS)
        budget.at = now
        _remember(self._budgets, uid, budget)
        if budget.left < 1:
            return False
        budget.left -= 1
        return True

    def _event(self, metadata: Obj, item: News, told: _Told) -> Obj:
        """Only the series of an Event may change later; without one it has happened once."""
        event: Obj = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": told.name, "namespace": metadata["namespace"]},
            "eventTime": told.time,
            "type": "Warning" if item.warning else "Normal",
            "reason": str(item.reason),
            "action": "Reconcile",
            "note": _cut(item.text),
            "regarding": {"apiVersion": INFERENCE_CLUSTER.api_version, "kind": INFERENCE_CLUSTER.kind, **metadata},
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
        }
        if told.count > 1:
            event["series"] = {"count": told.count, "lastObservedTime": _stamp(self._now())}
        return event


def _remember(memory: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)


def _cut(text: str) -> str:
    raw = text.encode()
    return text if len(raw) <= NOTE_LIMIT_BYTES else raw[: NOTE_LIMIT_BYTES - 3].decode(errors="ignore") + "..."


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
