"""A thousand launchers in one process: every address of 127.77/16 answers ``/metrics`` as a leader of its own does.

``python -m bench.leaders PORT``; ``/counts`` says how often they were read, and how many at once at most.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from ipaddress import IPv4Address

from aiohttp import web

from trireme_runtime import metrics as launcher
from trireme_runtime.stage import Stage

GROUPS = 10
"""Of each zone."""
_PODS, _LAUNCHERS = IPv4Address("10.77.0.1"), IPv4Address("127.77.0.1")
_TAKES_SECONDS = 0.01
"""A launcher asks its engine first."""


def pod_address(number: int) -> str:
    """What the pod's status says."""
    return str(_PODS + number)


def launcher_address(pod: str) -> str:
    """Where the launcher of the pod at this address really is."""
    return str(_LAUNCHERS + (int(IPv4Address(pod)) - int(_PODS)))


def zone(number: int) -> str:
    """The LeaderWorkerSet of a leader."""
    return f"llm-{number // GROUPS}"


def leader(number: int) -> str:
    """The name of a leader's pod."""
    return f"{zone(number)}-{number % GROUPS}"


class Launchers:
    """Answers, and counts."""

    def __init__(self) -> None:
        self.reads = self.at_once = self.most = 0

    async def metrics(self, request: web.Request) -> web.Response:
        """As the launcher at the address that was asked."""
        address, _ = request.get_extra_info("sockname")
        number = int(IPv4Address(address)) - int(_LAUNCHERS)
        self.reads += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(_TAKES_SECONDS)
        self.at_once -= 1
        info = {"version": "bench", "cluster": "llm", "zone": zone(number), "pod": leader(number), "role": "leader"}
        return web.Response(text=launcher.text(info=info, stage=Stage.READY, engine_healthy=True, queue=number % 40))

    async def counts(self, _: web.Request) -> web.Response:
        """Reads so far, and the most at once since the last time that this was asked."""
        said = {"reads": self.reads, "at_once": self.most}
        self.most = 0
        return web.Response(text=json.dumps(said))


async def _serve(port: int) -> None:
    launchers = Launchers()
    app = web.Application()
    app.router.add_get("/metrics", launchers.metrics)
    app.router.add_get("/counts", launchers.counts)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    with socket.socket() as listener:
        # Every address of 127/8, and none that another machine can reach.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port))
        await web.SockSite(runner, listener, backlog=1024).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
