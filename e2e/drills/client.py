"""A steady stream of completions, as those of many users: a program that runs where the gateway can be reached.

``python -m e2e.drills.client URL HOST MODEL SHAPE`` begins requests on time, whether or not earlier ones were answered
(or keeps a number of them running), until its standard input ends; then it waits for those that run. It prints a JSON
array for each that has ended: when it began, when it ended (seconds of the monotonic clock, which all processes of a
machine share) and its fault, empty for a whole answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

import aiohttp

_AFTER_FAULT_SECONDS = 0.2
_LONG_SECONDS = 120.0
_SHOWN = 200
_DONE = "[DONE]"


@dataclass(frozen=True)
class Shape:
    """How many requests begin each second, and what they are.

    ``stream``: every second one is streamed. Every ``long_every``-th is a stream of ``long_tokens`` tokens; 0: none is.
    """

    per_second: int
    tokens: int = 4
    stream: bool = False
    long_every: int = 0
    long_tokens: int = 0
    at_a_time: int = 0
    """So many run all the time instead, each after another has ended: a queue that a slow engine does not let grow."""
    answer_seconds: float = 20.0
    """Most that a request may take which is not a long one."""

    def body(self, model: str, number: int) -> dict[str, Any]:
        """The request with this number, which counts from 0."""
        long = self.long_every > 0 and number % self.long_every == self.long_every - 1
        streamed = long or (self.stream and number % 2 == 1)
        tokens = self.long_tokens if long else self.tokens
        body = {"model": model, "prompt": "One", "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
        return {**body, "stream": True} if streamed else body

    def as_text(self) -> str:
        return json.dumps(asdict(self))


async def ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any], shape: Shape) -> str:
    """One request; gives its fault. An answer that takes longer than those of its length may is one."""
    limit = _LONG_SECONDS if body["max_tokens"] > shape.tokens else shape.answer_seconds
    try:
        async with session.post(f"{url}/v1/completions", json=body, timeout=aiohttp.ClientTimeout(limit)) as response:
            text = await response.read()
            if body.get("stream") and response.status == HTTPStatus.OK:
                return fault_of_stream(text, body["max_tokens"])
            return fault_of(response.status, text)
    except TimeoutError:
        return f"no whole answer within {limit:g} s"
    except (OSError, aiohttp.ClientError) as error:
        return f"{type(error).__name__}: {error}"


def fault_of(status: int, body: bytes) -> str:
    """Empty for a completion with text, else what came instead."""
    shown = body[:_SHOWN].decode(errors="replace")
    if status != HTTPStatus.OK:
        return f"status {status}: {shown}"
    try:
        return "" if json.loads(body)["choices"][0]["text"] else f"no text in {shown}"
    except (ValueError, KeyError, IndexError, TypeError):
        return f"not a completion: {shown}"


def fault_of_stream(body: bytes, tokens: int) -> str:
    """Empty for a stream that said why it ended and held as many pieces of text as tokens were asked for."""
    lines = [line[5:].strip() for line in body.decode(errors="replace").splitlines() if line.startswith("data:")]
    if not lines or lines[-1] != _DONE:
        return f"a stream that broke off after {len(lines)} events"
    pieces = 0
    reason = None
    try:
        for event in map(json.loads, lines[:-1]):
            if "error" in event:
                return f"an error in a stream: {json.dumps(event['error'])[:_SHOWN]}"
            choice = event["choices"][0]
            pieces += bool(choice["text"])
            reason = choice.get("finish_reason") or reason
    except (ValueError, KeyError, IndexError, TypeError):
        return f"not a stream of completions: {lines[0][:_SHOWN]}"
    if reason is None:
        return f"a stream that did not say why it ended after {pieces} pieces"
    # An engine may put the text of more than one token into one event, and a stop word may end it: reason "stop".
    return "" if pieces and (reason != "length" or pieces <= tokens) else f"a stream of {pieces} pieces for {tokens}"


async def send(url: str, host: str, model: str, shape: Shape) -> None:
    """Begin requests until standard input ends, and wait for all of them."""
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    running: set[asyncio.Task[Any]] = set()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Host": host}) as session:

        async def one(number: int) -> str:
            began = time.monotonic()
            fault = await ask(session, url, shape.body(model, number), shape)
            sys.stdout.write(json.dumps([began, time.monotonic(), fault]) + "\n")
            sys.stdout.flush()
            return fault

        async def one_after_the_other(first: int) -> None:
            number = first
            while not over.done():
                if await one(number):
                    await asyncio.wait({over}, timeout=_AFTER_FAULT_SECONDS)
                number += shape.at_a_time

        running.update(asyncio.create_task(one_after_the_other(first)) for first in range(shape.at_a_time))
        begin, number = time.monotonic(), 0
        while not over.done() and not shape.at_a_time:
            task = asyncio.create_task(one(number))
            running.add(task)
            task.add_done_callback(running.discard)
            number += 1
            await asyncio.wait({over}, timeout=max(0.0, begin + number / shape.per_second - time.monotonic()))
        if running:
            await asyncio.wait(running)


if __name__ == "__main__":
    _URL, _HOST, _MODEL, _SHAPE = sys.argv[1:]
    asyncio.run(send(_URL, _HOST, _MODEL, Shape(**json.loads(_SHAPE))))
