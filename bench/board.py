"""Everything that is stored, as the watches tell it, and who waits for what."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.client import Client
from bench.scenario import CHILDREN, GROUPS, ZONES
from trireme_operator.api.labels import LABEL_CLUSTER
from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET, Kind, Obj

_LIMIT_SECONDS = 600


@dataclass(frozen=True)
class Event:
    """One change of one object."""

    kind: Kind
    type: str
    obj: Obj
    at: float
    """Seconds of ``time.monotonic`` when it arrived."""

    @property
    def name(self) -> str:
        return str(self.obj["metadata"]["name"])

    @property
    def resource(self) -> tuple[str, str]:
        """Namespace and name of the InferenceCluster that it belongs to."""
        metadata = self.obj["metadata"]
        name = metadata["name"] if self.kind == INFERENCE_CLUSTER else metadata["labels"][LABEL_CLUSTER]
        return str(metadata["namespace"]), str(name)


Wanted = Callable[[Event], bool]


class Board:
    """Passes every event to those who wait for its resource; made by `watching`."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], list[tuple[Wanted, asyncio.Future[float]]]] = defaultdict(list)

    def when(self, namespace: str, name: str, wanted: Wanted) -> asyncio.Future[float]:
        """When the first event of this resource comes of which ``wanted`` is true (ask before you cause it)."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[namespace, name].append((wanted, future))
        return future

    def see(self, kind: Kind, raw: Obj) -> None:
        """Take an event of a watch."""
        event = Event(kind, raw["type"], raw["object"], time.monotonic())
        if event.type == "ERROR":
            raise RuntimeError(f"the watch of {kind} failed: {event.obj}")
        waiting = self._waiting.get(event.resource)
        for entry in list(waiting or ()):
            wanted, future = entry
            if wanted(event):
                self._waiting[event.resource].remove(entry)
                if not future.done():
                    future.set_result(event.at)
        if waiting is not None and not waiting:
            self._waiting.pop(event.resource, None)


@dataclass
class Complete:
    """True with the event that completes a resource: all children stored, each with its number of groups."""

    stored: set[tuple[Kind, str]] = field(default_factory=set)
    scaled: set[str] = field(default_factory=set)

    def __call__(self, event: Event) -> bool:
        if event.kind not in CHILDREN or event.type == "DELETED":
            return False
        self.stored.add((event.kind, event.name))
        if event.kind == LEADER_WORKER_SET and event.obj["spec"].get("replicas") == GROUPS:
            self.scaled.add(event.name)
        return len(self.stored) == sum(CHILDREN.values()) and len(self.scaled) == len(ZONES)


def told(event: Event) -> bool:
    """Whether the resource's status was written for its present generation."""
    status = event.obj.get("status") or {}
    return event.kind == INFERENCE_CLUSTER and status.get("observedGeneration") == event.obj["metadata"]["generation"]


def ready(event: Event, *, status: str = "True") -> bool:
    """Whether the event says that the resource is Ready (or, with ``status``, that it is not)."""
    conditions = (event.obj.get("status") or {}).get("conditions") or []
    found = next((item["status"] for item in conditions if item["type"] == "Ready"), None)
    return event.kind == INFERENCE_CLUSTER and found == status


async def within(future: asyncio.Future[float], *, what: str, seconds: float = _LIMIT_SECONDS) -> float:
    """Wait for the moment. Raises TimeoutError with what was waited for."""
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError:
        raise TimeoutError(f"not within {seconds:.0f} s: {what}") from None


@asynccontextmanager
async def watching(client: Client) -> AsyncIterator[Board]:
    """A board that sees the resources and their children; a stream that ends raises in the body."""
    board = Board()
    async with asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[Any]] = []
        began = []
        for kind in (INFERENCE_CLUSTER, *CHILDREN):
            labels = "" if kind == INFERENCE_CLUSTER else LABEL_CLUSTER
            began.append(asyncio.Event())
            tasks.append(group.create_task(client.watch(kind, labels, board.see, began[-1])))
        await asyncio.gather(*(event.wait() for event in began))
        try:
            yield board
        finally:
            for task in tasks:
                task.cancel()
