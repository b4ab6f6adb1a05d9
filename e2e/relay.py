"""Passes connections on between a TCP port and a unix socket, byte for byte.

A unix socket is a file, so it is reachable from every network namespace: two relays make a port of the cluster's
network a port of this machine.

usage: python -m e2e.relay LISTEN TARGET     each tcp:HOST:PORT (PORT 0 to listen on a free one) or unix:PATH

The first line it prints is where it listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_CHUNK_BYTES = 65536


async def serve(listen: str, target: str) -> None:
    """Relay until cancelled. Raises ValueError for an address that is neither tcp:HOST:PORT nor unix:PATH."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await _connect(target)
        except OSError:
            writer.close()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(_pass(reader, far_writer))
            group.create_task(_pass(far_reader, writer))

    server = await _listen(listen, relay)
    address = server.sockets[0].getsockname()
    print(f"tcp:{address[0]}:{address[1]}" if isinstance(address, tuple) else f"unix:{address}", flush=True)
    await server.serve_forever()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return await asyncio.open_unix_connection(rest)
    host, port = _host_and_port(address)
    return await asyncio.open_connection(host, port)


async def _listen(address: str, handler: Handler) -> asyncio.Server:
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return await asyncio.start_unix_server(handler, rest)
    host, port = _host_and_port(address)
    return await asyncio.start_server(handler, host, port)


def _host_and_port(address: str) -> tuple[str, int]:
    kind, _, rest = address.partition(":")
    host, _, port = rest.rpartition(":")
    if kind != "tcp" or not host or not port.isdigit():
        raise ValueError(f"{address!r}: expected tcp:HOST:PORT or unix:PATH")
    return host, int(port)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(*sys.argv[1:3]))
