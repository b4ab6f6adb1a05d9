"""The metrics server as it is, but for where leaders are read: at the launchers of ``bench.leaders``."""

import trireme_operator.bare  # noqa: F401 - as the metrics server itself begins

# isort: split

import asyncio
import os

import uvloop

from bench.leaders import launcher_address
from trireme_operator.collector.client import LauncherClient
from trireme_operator.logs import configure_logs
from trireme_operator.memory import stay_small
from trireme_operator.metricsapi.main import read_configuration, serve


async def _serve() -> None:
    client = LauncherClient(port=int(os.environ["BENCH_LAUNCHERS_PORT"]), path="/metrics")

    async def read(address: str) -> bytes:
        return await client.read(launcher_address(address))

    await serve(read_configuration(os.environ), read=read)


if __name__ == "__main__":
    configure_logs("json")
    stay_small()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
