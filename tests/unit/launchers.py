"""Launchers that only answer HTTP: one server, and every address of 127/8 is a pod of its own."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from trireme_operator.collector.targets import Target

Obj = dict[str, Any]
Answer = Callable[[web.Request, str], Awaitable[web.StreamResponse]]
WHERE = ("genai", "llm")


def address(number: int) -> str:
    return f"127.4.{number // 250}.{1 + number % 250}"


def target(number: int, *, group: int | None = None, worker: int = 0, name: str = "llm", at: str = "") -> Target:
    """The launcher at an address of its own; each leads a group of its own unless told otherwise."""
    index = number if group is None else group
    return Target(f"uid-{number}", at or address(number), ("genai", name), f"{name}-a", index, worker)


def document(uid: str, stage: str = "Ready", **fields: Any) -> Obj:
    """An answer as docs/contract.md has it."""
    said: Obj = {
        "contract": 1,
        "role": "leader",
        "serves": True,
        "stage": stage,
        "stageSince": "2026-01-01T00:00:00Z",
        "reason": "",
        "podUID": uid,
        "engine": {"pid": 17, "running": True, "healthy": True, "unfinished": None},
        "fieldOfTomorrow": [{"a": 1}],
    }
    return said | fields


class Launchers:
    """What each address answers (a healthy launcher unless told otherwise), and how often it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: Counter[str] = Counter()
        self.connections: Counter[str] = Counter()
        self.said: dict[str, Obj] = {}
        self.answers: dict[str, Answer] = {}
        self.headers: list[dict[str, str]] = []
        self._seen: set[tuple[str, int]] = set()

    def says(self, number: int, **fields: Any) -> None:
        self.said[address(number)] = document(f"uid-{number}", **fields)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        local, remote = (request.transport.get_extra_info(end) for end in ("sockname", "peername"))
        self.asked[local[0]] += 1
        self.headers.append(dict(request.headers))
        if (local[0], remote[1]) not in self._seen:
            self._seen.add((local[0], remote[1]))
            self.connections[local[0]] += 1
        answer = self.answers.get(local[0])
        if answer is not None:
            return await answer(request, local[0])
        return web.Response(body=json.dumps(self.said[local[0]]).encode(), content_type="application/json")

    def each_healthy(self, count: int) -> None:
        for number in range(count):
            self.says(number)


@asynccontextmanager
async def launchers() -> AsyncIterator[Launchers]:
    made = Launchers()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", 0, backlog=1024)
    await site.start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        await runner.cleanup()


async def until(condition: Callable[[], bool], what: str, *, seconds: float = 20.0) -> None:
    """Wait for ``condition``; fails with ``what`` was expected."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what}") from None
