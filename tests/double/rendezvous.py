"""How the nodes of one engine find each other: JSON lines over TCP on the leader's master port.

Like torch's store in vLLM: the leader listens, workers connect (and retry until it is there), nobody is let in
once the group is complete, and a connection that breaks means that the node behind it is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

_RETRY_SECONDS = 0.2
Message = dict[str, Any]


class JoinError(Exception):
    """The group did not come together: in time, or with the same sizes on all nodes."""


async def _read(reader: asyncio.StreamReader) -> Message | None:
    """The next message, or None when the other side has gone."""
    try:
        line = await reader.readline()
    except ConnectionError:
        return None
    if not line.endswith(b"\n"):
        return None
    message: Message = json.loads(line)
    return message


def _send(writer: asyncio.StreamWriter, message: Message) -> None:
    writer.write(json.dumps(message).encode() + b"\n")


class Leader:
    """Waits for all other nodes, then says when one is lost (``on_lost`` with its node rank)."""

    def __init__(self, shape: Message, nodes: int, on_lost: Callable[[int], None]) -> None:
        self._shape = shape
        self._nodes = nodes
        self._on_lost = on_lost
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._loaded: set[int] = set()
        self._changed = asyncio.Event()
        self._complete = False
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self, port: int, timeout_seconds: float) -> None:
        """All nodes are connected; raises JoinError."""
        self._server = await asyncio.start_server(self._serve, None, port, reuse_address=True)
        await self._wait(lambda: len(self._writers) == self._nodes - 1, timeout_seconds, "join")
        self._complete = True
        for writer in self._writers.values():
            _send(writer, {"start": True})

    async def loaded(self) -> None:
        """All nodes have loaded: waits as long as it takes."""
        await self._wait(lambda: len(self._loaded) == self._nodes - 1, None, "load")

    def tell(self, rank: int, message: Message) -> bool:
        """Pass a control message on to a worker; False when there is none of this rank."""
        writer = self._writers.get(rank)
        if writer is not None:
            _send(writer, message)
        return writer is not None

    async def _wait(self, condition: Callable[[], bool], timeout_seconds: float | None, what: str) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            missing = sorted(set(range(1, self._nodes)) - self._writers.keys())
            raise JoinError(f"nodes {missing} did not {what} within {timeout_seconds} s") from None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await _read(reader)
        if hello is None:
            return
        rank = int(hello.pop("rank"))
        if self._complete or rank in self._writers:
            # As with the real store: a node that comes late hangs until the leader is gone.
            await reader.read()
            return
        if hello != self._shape:
            _send(writer, {"error": f"node {rank} has {hello}, the leader {self._shape}"})
            return
        self._writers[rank] = writer
        self._changed.set()
        while message := await _read(reader):
            if message.get("loaded"):
                self._loaded.add(rank)
                self._changed.set()
        self._writers.pop(rank, None)
        self._on_lost(rank)


class Worker:
    """A headless node: connects, loads when told, and stays whatever happens to the leader."""

    def __init__(self, shape: Message, rank: int) -> None:
        self._hello = {**shape, "rank": rank}
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def join(self, host: str, port: int, timeout_seconds: float) -> None:
        """The group is complete; raises JoinError."""
        deadline = time.monotonic() + timeout_seconds
        while self._writer is None:
            try:
                self._reader, self._writer = await asyncio.open_connection(host, port)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise JoinError(f"no leader at {host}:{port} within {timeout_seconds} s: {error}") from None
                await asyncio.sleep(_RETRY_SECONDS)
        _send(self._writer, self._hello)
        assert self._reader is not None
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - time.monotonic()):
                answer = await _read(self._reader)
        except TimeoutError:
            raise JoinError(f"the group was not complete within {timeout_seconds} s") from None
        if answer is None:
            raise JoinError("the leader has gone")
        if "error" in answer:
            raise JoinError(str(answer["error"]))

    async def follow(self, on_message: Callable[[Message], None]) -> None:
        """Report that loading is done, then take messages until the leader is gone."""
        assert self._reader is not None
        assert self._writer is not None
        _send(self._writer, {"loaded": True})
        with contextlib.suppress(ConnectionError):
            while message := await _read(self._reader):
                on_message(message)
