"""The metrics server's process: watch the leaders, ask them, answer the API server.

Any part that ends takes the whole process with it (exit code 1); SIGTERM and SIGINT end it with 0.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvloop
from prometheus_client import start_http_server

from trireme_operator import environment
from trireme_operator.collector.client import LauncherClient
from trireme_operator.environment import ConfigurationError
from trireme_operator.kube import KubernetesApi, connect
from trireme_operator.logs import LogFormat, configure_logs
from trireme_operator.memory import stay_small
from trireme_operator.metricsapi.feed import Feed
from trireme_operator.metricsapi.identity import Keeper
from trireme_operator.metricsapi.leaders import Leaders
from trireme_operator.metricsapi.metrics import Metrics
from trireme_operator.metricsapi.scrape import ReadFn, Scraper
from trireme_operator.metricsapi.server import Server
from trireme_operator.rendering.api_service import MetricsService

STUCK_SECONDS = 10.0
"""So long without a turn, and the loop ends the process: a server that accepts and never answers does more harm than
one that is not there (docs/autoscaling.md)."""
_LEAVE_SECONDS = 2.0
"""From SIGTERM until the socket closes: so long the endpoint may still be in use."""


@dataclass(frozen=True)
class Configuration:
    """What the installation sets through the environment."""

    service: MetricsService
    namespaces: tuple[str, ...]
    log_format: LogFormat
    port: int
    metrics_port: int
    kubeconfig: Path | None


def read_configuration(environ: Mapping[str, str]) -> Configuration:
    """Read the environment. Raises ConfigurationError."""
    name = "TRIREME_METRICS_API"
    service = environment.namespaced_name(environ, name, empty="never")
    if service is None:
        raise ConfigurationError(f"{name} is not set: it names the Service and the Secret of the metrics server")
    kubeconfig = environ.get("KUBECONFIG", "")
    return Configuration(
        service=MetricsService(*service),
        namespaces=environment.namespaces(environ),
        log_format=environment.log_format(environ),
        port=environment.port(environ, "TRIREME_METRICS_API_PORT", 8443),
        metrics_port=environment.port(environ, "TRIREME_METRICS_PORT", 9090),
        kubeconfig=Path(kubeconfig) if kubeconfig else None,
    )


async def serve(configuration: Configuration, *, read: ReadFn | None = None) -> None:
    """Run until a signal; `read` is how leaders are read, over HTTP by default. Raises when any part ends by itself."""
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        api = KubernetesApi(await connect(configuration.kubeconfig))
        stack.push_async_callback(api.close)
        if read is None:
            launchers = LauncherClient(path="/metrics")
            stack.push_async_callback(launchers.close)
            read = launchers.read
        scraper = Scraper(Leaders(), read, outcome=lambda outcome: metrics.reads.labels(outcome).inc())
        feeds = [Feed(api, namespace, scraper) for namespace in configuration.namespaces or (None,)]
        server = Server(
            scraper,
            port=configuration.port,
            ready=lambda: all(feed.listed.is_set() for feed in feeds),
            observer=metrics.answered,
        )
        stack.push_async_callback(server.close)
        keeper = Keeper(api, configuration.service, server.use, now=lambda: datetime.now(UTC))
        metrics.watch(scraper, keeper)
        start_http_server(configuration.metrics_port, registry=metrics.registry)
        structlog.get_logger().info("Starting", namespaces=list(configuration.namespaces) or "all")
        parts = [keeper.run(), scraper.run(), _alive(), *(feed.run() for feed in feeds)]
        await _run_until_stopped(parts)


async def _run_until_stopped(parts: Sequence[Awaitable[None]]) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    tasks = [asyncio.ensure_future(part) for part in parts]
    stop = asyncio.create_task(stopping.wait())
    done, running = await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
    if stop in done:
        await asyncio.sleep(_LEAVE_SECONDS)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    if stop in done:
        return
    for task in done:
        task.result()  # raises what ended the part
    raise RuntimeError("a part of the metrics server ended without an error")


async def _alive() -> None:
    """A loop that has stood still is ended by the kernel's alarm, whose default action needs no turn of the loop."""
    while True:
        signal.setitimer(signal.ITIMER_REAL, STUCK_SECONDS)
        await asyncio.sleep(STUCK_SECONDS / 5)


def main() -> None:
    """The entry point; exit code 2 for an unusable environment, 1 when a part fails."""
    try:
        configuration = read_configuration(os.environ)
    except ConfigurationError as error:
        sys.stderr.write(f"trireme metrics server: {error}\n")
        sys.exit(2)
    configure_logs(configuration.log_format)
    stay_small()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(configuration))
    except Exception as error:  # noqa: BLE001 - the last boundary: whatever ended it belongs in the log
        structlog.get_logger().exception("The metrics server ended", reason=f"{type(error).__name__}: {error}")
        sys.exit(1)
