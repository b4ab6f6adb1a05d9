"""What a drill's recorder keeps of its watches."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from e2e.api import Api, ApiError
from e2e.drills import record
from e2e.drills.record import Recorder

ROUTE = {"metadata": {"name": "route"}, "spec": {}}
GONE = {"kind": "Status", "code": 410}


class Watched:
    """An API server that is asked again after each watch; ``said`` is what each watch says, or what refuses it."""

    def __init__(self, *said: list[tuple[str, Any]] | ApiError) -> None:
        self._said = list(said)
        self.all_said = threading.Event()
        self._over = threading.Event()

    def watch(self, _: str) -> Watched:
        if self._said and isinstance(self._said[0], ApiError):
            raise cast("ApiError", self._said.pop(0))
        return self

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        if not self._said:
            self.all_said.set()
            self._over.wait(10)
            return
        yield from cast("list[tuple[str, Any]]", self._said.pop(0))

    def close(self) -> None:
        self._over.set()


@pytest.mark.parametrize(
    "between",
    [
        pytest.param([("ERROR", GONE)], id="the kind was removed"),
        pytest.param(ApiError("GET", "/routes", 404, "no such kind"), id="it is not there"),
        pytest.param(ApiError("GET", "/routes", 429, "storage is being set up"), id="it is being set up"),
    ],
)
def test_what_is_no_object_is_left_out_and_the_watch_goes_on(
    between: list[tuple[str, Any]] | ApiError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "_PAUSE_SECONDS", 0.001)
    watched = Watched([("ADDED", ROUTE), ("DELETED", ROUTE)], between, [("ADDED", ROUTE)])
    with Recorder(cast("Api", watched), "/routes") as recorder:
        assert watched.all_said.wait(10)
        assert [seen.kind for seen in recorder.seen] == ["ADDED", "DELETED", "ADDED"]
