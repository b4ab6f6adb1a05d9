"""Everything the API server said about some objects while a drill ran, each with the time it was said."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Self

from e2e.api import Api, ApiError, Obj, Watch

_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class Seen:
    """One event of a watch; ``at`` in seconds of the monotonic clock."""

    at: float
    kind: str
    obj: Obj


@dataclass(frozen=True)
class Record:
    """What was seen of a resource: its pods and its route."""

    pods: Sequence[Seen]
    routes: Sequence[Seen] = ()


class Recorder:
    """Watches one path in a thread, from the start of its block to the end."""

    def __init__(self, api: Api, path: str) -> None:
        self._api = api
        self._path = path
        self._lock = threading.Lock()
        self._seen: list[Seen] = []
        self._over = False
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        if self._watch is not None:
            self._watch.close()
        self._thread.join(timeout=5)

    @property
    def seen(self) -> tuple[Seen, ...]:
        with self._lock:
            return tuple(self._seen)

    def _run(self) -> None:
        while not self._over:
            self._follow()
            time.sleep(_PAUSE_SECONDS)  # an API server that ends watches at once must not be asked in a loop

    def _follow(self) -> None:
        """One watch, until it ends; none, where the API has no such kind now, or is just setting it up."""
        try:
            self._watch = self._api.watch(self._path)
        except ApiError as error:
            if error.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS}:
                raise
            return
        for kind, obj in self._watch:
            if kind == "ERROR":  # about the watch (its kind was removed, say): the object is none of those watched
                return
            with self._lock:
                self._seen.append(Seen(time.monotonic(), kind, obj))


def states(seen: Sequence[Seen]) -> Iterator[tuple[float, dict[str, Obj]]]:
    """The objects by name after each event."""
    current: dict[str, Obj] = {}
    for event in seen:
        name = event.obj["metadata"]["name"]
        if event.kind == "DELETED":
            current.pop(name, None)
        else:
            current[name] = event.obj
        yield event.at, dict(current)
