"""What the client of the drills sends, and which answers count."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from e2e.drills.client import Shape, fault_of, fault_of_stream


def stream(*events: Any, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n"] if done else lines).encode()


def piece(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"text": text, "finish_reason": reason}]}


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (200, b'{"choices": [{"text": "two"}]}', ""),
        (200, b'{"choices": [{"text": ""}]}', "no text"),
        (200, b'{"error": {}}', "not a completion"),
        (200, b"<html>", "not a completion"),
        (503, b"no healthy upstream", "status 503: no healthy upstream"),
    ],
)
def test_an_answer_counts_only_when_it_is_a_whole_completion(status: int, body: bytes, word: str) -> None:
    fault = fault_of(status, body)
    assert bool(fault) == bool(word)
    assert word in fault


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (stream(piece("a"), piece("b"), piece("", "length")), ""),
        (stream(piece("ab", "length")), ""),
        (stream(piece("a"), piece("", "length"), done=False), "broke off after 2 events"),
        (b"", "broke off after 0 events"),
        (stream(piece("a"), {"error": {"message": "dead"}}), "an error in a stream: {"),
        (stream(piece("a"), piece("b")), "did not say why it ended"),
        (stream(piece("", "length")), "0 pieces for 2"),
        (stream(piece("a"), piece("b"), piece("c"), piece("", "length")), "3 pieces for 2"),
        (stream({"choices": []}), "not a stream"),
    ],
)
def test_a_stream_counts_only_when_it_is_whole(body: bytes, word: str) -> None:
    fault = fault_of_stream(body, 2)
    assert bool(fault) == bool(word)
    assert word in fault


def test_half_of_the_requests_are_streams_and_few_are_long() -> None:
    shape = Shape(100, tokens=4, stream=True, long_every=10, long_tokens=50)
    bodies = [shape.body("m", number) for number in range(100)]
    assert sum(bool(body.get("stream")) for body in bodies) == 50
    assert [body["max_tokens"] for body in bodies].count(50) == 10
    assert not any(Shape(5).body("m", number).get("stream") for number in range(100))


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A server whose every third answer is an error, and whose streams take their time."""
    count = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 1
        body = await request.json()
        assert request.headers["Host"] == "m.test"
        if count % 3 == 0:
            return web.Response(status=503, text="no healthy upstream")
        if not body.get("stream"):
            return web.json_response(piece("x" * body["max_tokens"], "length"))
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(0.5)
        await response.write(stream(piece("a"), piece("", "length")))
        return response

    app = web.Application()
    app.router.add_post("/v1/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_the_program_begins_requests_on_time_and_waits_for_the_last(address: str) -> None:
    words = ("-m", "e2e.drills.client", address, "m.test", "m", Shape(50, stream=True).as_text())
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()  # it sends
    await asyncio.sleep(1)
    stopped = time.monotonic()
    process.stdin.close()
    rows = [json.loads(line) for line in (await process.stdout.read()).splitlines()]
    assert await process.wait() == 0
    assert 20 <= len(rows) <= 80
    assert all(began <= stopped + 0.5 for began, _, _ in rows)
    assert max(ended for _, ended, _ in rows) >= stopped, "streams that ran were waited for"
    faults = [fault for _, _, fault in rows if fault]
    assert set(faults) == {"status 503: no healthy upstream"}
    assert len(rows) / 4 <= len(faults) <= len(rows) / 2


async def test_the_program_keeps_a_number_of_requests_running() -> None:
    """However slow the answers are, and one that is refused is not asked again at once."""
    now = most = count = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal now, most, count
        now, count = now + 1, count + 1
        number, most = count, max(most, now)
        await asyncio.sleep(0.1)
        now -= 1
        return web.json_response(piece("two")) if number % 10 else web.Response(status=503)

    app = web.Application()
    app.router.add_post("/v1/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    words = ("-m", "e2e.drills.client", url, "m.test", "m", Shape(0, at_a_time=4).as_text())
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    rows = [json.loads(await process.stdout.readline()) for _ in range(20)]
    process.stdin.close()
    rows += [json.loads(line) for line in (await process.stdout.read()).splitlines()]
    assert await process.wait() == 0
    await runner.cleanup()
    assert most == 4
    assert len(rows) == count, "none was left unanswered"
    assert {fault for _, _, fault in rows} == {"", "status 503: "}
