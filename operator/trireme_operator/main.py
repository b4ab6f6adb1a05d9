"""The operator's process: kopf's watches, the queue's workers, probe and metrics, in one task group.

Any part that ends takes the whole process with it (exit code 1), so that Kubernetes starts a whole one; SIGTERM and
SIGINT end it with 0. Nothing needs to be finished first: a reconcile that is cut off is done again by the next
process.
"""

import trireme_operator.lean  # noqa: F401 - it is of use only before kopf and structlog are imported

# isort: split

import asyncio
import functools
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import kopf
import structlog
import uvloop
from prometheus_client import start_http_server

from trireme_operator import environment
from trireme_operator.collector.client import LauncherClient
from trireme_operator.collector.collector import Collector
from trireme_operator.controller import handlers
from trireme_operator.controller.consents import Consents
from trireme_operator.controller.events import Recorder
from trireme_operator.controller.feed import Feed
from trireme_operator.controller.head_start import head_start
from trireme_operator.controller.leadership import Leadership
from trireme_operator.controller.liveness import stuck
from trireme_operator.controller.metrics import Metrics
from trireme_operator.controller.metrics_demand import Demand
from trireme_operator.controller.nodes import Nodes, Places
from trireme_operator.controller.permits import Permits, PermitServer
from trireme_operator.controller.queue import Key, KeyedQueue
from trireme_operator.controller.reach import Reach
from trireme_operator.controller.reconcile import Reconciler
from trireme_operator.controller.recording import RecordingApi
from trireme_operator.controller.registration import Registration
from trireme_operator.controller.resync import resync
from trireme_operator.controller.rights import NEEDED, OF_NODES, Rights
from trireme_operator.controller.store import KINDS, Store, Stream
from trireme_operator.controller.traffic import Ears
from trireme_operator.controller.workers import describe, work
from trireme_operator.environment import ConfigurationError
from trireme_operator.kube import (
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    NODE,
    Claim,
    Fence,
    FencedApi,
    KubeApi,
    KubernetesApi,
    Lease,
    connect,
)
from trireme_operator.logs import LogFormat, configure_logs
from trireme_operator.memory import give_back, stay_small
from trireme_operator.rendering import Settings
from trireme_operator.rendering.api_service import MetricsService

WORKERS = 8
GATHER_SECONDS = 0.1
"""From the end of a resource's run to the next one: a group's pods come within it, and nobody misses it."""
_STOP_LIMIT_SECONDS = 0.5
_LEASE_TIMEOUT_SECONDS = 2.0
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")


@dataclass(frozen=True)
class Configuration:
    """What the installation sets through the environment."""

    settings: Settings
    namespaces: tuple[str, ...]
    log_format: LogFormat
    probe_port: int
    metrics_port: int
    permit_port: int
    kubeconfig: Path | None
    claim: Claim | None
    """The Lease to hold, and the name to hold it by; None: this process is the only one."""
    metrics_service: MetricsService | None
    """The metrics server that is registered while it is wanted; None: there is none."""
    maintenance_taints: tuple[str, ...]
    """Keys of taints of nodes that are about to be emptied; none: nodes are not read."""
    instance: str
    """A name for this process that no other one has, and that a restart in the same pod keeps."""


def read_configuration(environ: Mapping[str, str]) -> Configuration:
    """Read the environment. Raises ConfigurationError."""
    image = environ.get("TRIREME_LAUNCHER_IMAGE", "")
    if not image:
        raise ConfigurationError("TRIREME_LAUNCHER_IMAGE is not set: it names the image with the launcher")
    policy = environ.get("TRIREME_LAUNCHER_PULL_POLICY", "IfNotPresent")
    if policy not in _PULL_POLICIES:
        raise ConfigurationError(f"TRIREME_LAUNCHER_PULL_POLICY is {policy!r}: use one of {', '.join(_PULL_POLICIES)}")
    log_format = environment.log_format(environ)
    kubeconfig = environ.get("KUBECONFIG", "")
    instance = environ.get("TRIREME_IDENTITY") or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    return Configuration(
        settings=Settings(
            launcher_image=image,
            image_pull_policy=policy,
            operator_namespace=environ.get("TRIREME_NAMESPACE", ""),
            permit_url=_permit_url(environ),
        ),
        namespaces=environment.namespaces(environ),
        log_format=log_format,
        probe_port=environment.port(environ, "TRIREME_PROBE_PORT", 8080),
        metrics_port=environment.port(environ, "TRIREME_METRICS_PORT", 9090),
        permit_port=environment.port(environ, "TRIREME_PERMIT_PORT", 8081),
        kubeconfig=Path(kubeconfig) if kubeconfig else None,
        claim=_claim(environ, instance),
        metrics_service=_metrics_service(environ),
        maintenance_taints=environment.taints(environ, "TRIREME_NODE_MAINTENANCE"),
        instance=instance,
    )


async def serve(configuration: Configuration) -> None:
    """Run until a signal. Raises when any part ends by itself."""
    queue = KeyedQueue(gather_seconds=GATHER_SECONDS)
    metrics = Metrics(queue)
    fence, refused = Fence(), asyncio.Event()

    def called(verb: str, kind: str, code: str, seconds: float) -> None:
        metrics.observe_call(verb, kind, code, seconds)
        if code == "403":
            refused.set()

    async with AsyncExitStack() as connections:
        api = KubernetesApi(await connect(configuration.kubeconfig, fence=fence), observer=called)
        connections.push_async_callback(api.close)
        leadership = Leadership(await _lease(configuration, metrics, connections), fence, queue, metrics)
        store = Store(_streams(configuration.namespaces), queue.add)
        collector = _collector(store, queue, metrics, connections)
        nodes = _nodes(configuration, store, queue, collector)
        rights = Rights(
            api,
            fence,
            refused,
            namespaces=configuration.namespaces,
            changed=queue.add_all,
            needed=NEEDED if nodes is None else (*NEEDED, *OF_NODES),
        )
        writing = FencedApi(api, fence)
        recorder = Recorder(writing, metrics, instance=configuration.instance, now=_now)
        reconciler = Reconciler(
            RecordingApi(writing, store),
            store,
            configuration.settings,
            clock=_now,
            heard=collector.heard,
            ears=Ears(collector.listening, collector.proof, collector.queue),
            missing=rights.missing,
            tell=recorder.tell,
            wake=queue.add,
            nodes=nodes,
        )
        feeds = [Feed(stream, api, store, metrics.saw) for stream in store.streams]
        feeds += [] if nodes is None else [Feed(Stream(NODE, None), api, nodes, metrics.saw)]
        # Its thread ends with the process: stopping it takes half a second, for nothing.
        start_http_server(configuration.metrics_port, registry=metrics.registry)
        stopping = asyncio.Event()
        parts: list[Awaitable[None]] = [
            _watch(configuration, feeds, functools.partial(head_start, api, store), lambda: stuck(queue), stopping),
            resync(api, store),
            give_back(lambda: store.deletions, api.close_idle),
            leadership.run(),
            recorder.run(),
            rights.run(),
            _collect(collector, store),
            _permits(configuration, store, leadership, metrics).run(),
            *_registration(configuration, api, fence, writing=writing, store=store, queue=queue, metrics=metrics),
        ]
        parts += [work(queue, reconciler.reconcile, metrics) for _ in range(WORKERS)]
        structlog.get_logger().info("Starting", namespaces=list(configuration.namespaces) or "all", workers=WORKERS)
        await _run_until_stopped(parts, stopping, leadership.resign)


def _registration(
    configuration: Configuration,
    api: KubernetesApi,
    fence: Fence,
    *,
    writing: KubeApi,
    store: Store,
    queue: KeyedQueue,
    metrics: Metrics,
) -> list[Awaitable[None]]:
    """What keeps the metrics server registered; nothing where there is none."""
    if configuration.metrics_service is None:
        return []
    registration = Registration(
        writing,
        api,
        fence,
        configuration.metrics_service,
        wanted=Demand(store),
        answers=Reach(),
        changed=queue.add_all,
    )
    metrics.registered.set_function(lambda: registration.registered)
    return [registration.run()]


def _streams(namespaces: Sequence[str]) -> list[Stream]:
    """A stream for each kind, in each of the namespaces or over all of them."""
    return [Stream(kind, namespace) for kind in KINDS for namespace in namespaces or (None,)]


async def _lease(configuration: Configuration, metrics: Metrics, connections: AsyncExitStack) -> Lease | None:
    """The Lease on a connection of its own: a burst of other calls must not delay its renewal."""
    if configuration.claim is None:
        return None
    client = await connect(configuration.kubeconfig)
    api = KubernetesApi(client, timeout_seconds=_LEASE_TIMEOUT_SECONDS, observer=metrics.observe_call)
    connections.push_async_callback(api.close)
    return Lease(api, configuration.claim, now=_now)


def _collector(store: Store, queue: KeyedQueue, metrics: Metrics, connections: AsyncExitStack) -> Collector:
    """It learns of pods from the store, and wakes the resource that an answer is news for."""
    launchers = LauncherClient()
    connections.push_async_callback(launchers.close)
    collector = Collector(
        launchers.read,
        lambda where: queue.add(Key(*where)),
        belongs=lambda where, name: store.belongs(LEADER_WORKER_SET, name, Key(*where)),
        outcome=lambda outcome: metrics.collector_reads.labels(outcome).inc(),
    )
    store.pods = collector
    metrics.watch(collector)
    return collector


def _nodes(configuration: Configuration, store: Store, queue: KeyedQueue, collector: Collector) -> Nodes | None:
    """What is known of nodes, where the installation wants to be told; it learns of pods from the store, too."""
    if not configuration.maintenance_taints:
        return None
    store.pods = places = Places(collector)
    return Nodes(configuration.maintenance_taints, places, queue.add, paging=store.paging, ready=store.ready)


async def _collect(collector: Collector, store: Store) -> None:
    """Nobody may be told to look at a resource before the store knows what there is."""
    await store.ready.wait()
    await collector.run()


def _permits(configuration: Configuration, store: Store, leadership: Leadership, metrics: Metrics) -> PermitServer:
    permits, consents = Permits(store, clock=_now), Consents(store, leadership, clock=_now)
    return PermitServer(permits, consents, store, metrics, port=configuration.permit_port)


def _now() -> datetime:
    return datetime.now(UTC)


async def _run_until_stopped(
    parts: list[Awaitable[None]], stopping: asyncio.Event, resign: Callable[[], Awaitable[None]]
) -> None:
    tasks = [asyncio.ensure_future(part) for part in parts]
    stop = asyncio.create_task(stopping.wait())
    done, running = await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
    for task in running:
        task.cancel()
    await resign()
    await asyncio.wait(running, timeout=_STOP_LIMIT_SECONDS)
    if stop in done:
        return
    for task in done:
        task.result()  # raises what ended the part
    raise RuntimeError("a part of the operator ended without an error")


async def _watch(
    configuration: Configuration,
    feeds: Sequence[Feed],
    look_ahead: Callable[[], Awaitable[None]],
    problem: Callable[[], str | None],
    stopping: asyncio.Event,
) -> None:
    """Run kopf, and beside it the feeds: those of the resources first, the others after a look ahead.

    kopf's own signal handlers wait until all its tasks have ended; ours do not.
    """
    settings = kopf.OperatorSettings()
    handlers.configure(settings)
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=handlers.registry(_login(configuration.kubeconfig)),
        settings=settings,
        standalone=True,
        # Without it kopf asks for the name of the user, and a container's user id has none.
        identity=cast("Any", "trireme-operator"),
        clusterwide=True,
        liveness_endpoint=f"http://0.0.0.0:{configuration.probe_port}/healthz",
        memo=kopf.Memo(problem=problem),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with asyncio.TaskGroup() as group:
        # From this task, whose context holds kopf's credentials.
        group.create_task(kopf.run_tasks(tasks, ignored=others))
        for feed in feeds:
            if feed.stream.kind == INFERENCE_CLUSTER:
                group.create_task(feed.run())
        await look_ahead()
        for feed in feeds:
            if feed.stream.kind != INFERENCE_CLUSTER:
                group.create_task(feed.run())


def _login(kubeconfig: Path | None) -> Callable[..., Any]:
    """The same credentials as our own client's; kopf asks again after a 401, so a rotated token is picked up."""

    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        if kubeconfig is not None:
            return kopf.login_with_kubeconfig(**kwargs)
        return kopf.login_with_service_account(**kwargs)

    return login


def _claim(environ: Mapping[str, str], identity: str) -> Claim | None:
    """The same identity for each start in one pod: a restarted container holds what the one before it held."""
    found = environment.namespaced_name(environ, "TRIREME_LEASE", empty="for one operator")
    return None if found is None else Claim(*found, identity)


def _metrics_service(environ: Mapping[str, str]) -> MetricsService | None:
    found = environment.namespaced_name(environ, "TRIREME_METRICS_API", empty="where there is no metrics server")
    return None if found is None else MetricsService(*found)


def _permit_url(environ: Mapping[str, str]) -> str:
    url = environ.get("TRIREME_PERMIT_URL", "")
    if url and not re.fullmatch(r"http://[A-Za-z0-9.-]+(:[0-9]{1,5})?", url):
        raise ConfigurationError(f"TRIREME_PERMIT_URL is {url!r}: use http://HOST:PORT, or leave it empty")
    return url


def main() -> None:
    """The entry point `trireme-operator`; exit code 2 for an unusable environment, 1 when a part fails."""
    try:
        configuration = read_configuration(os.environ)
    except ConfigurationError as error:
        sys.stderr.write(f"trireme-operator: {error}\n")
        sys.exit(2)
    configure_logs(configuration.log_format)
    stay_small()
    # Until the loop takes over: process 1 of a container has no default action for SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        # Most of what a reconcile costs is TLS and sockets: with this loop a create takes a fifth less processor time.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(configuration))
    except Exception as error:  # noqa: BLE001 - the last boundary: whatever ended it belongs in the log
        structlog.get_logger().exception("Operator ended", reason=describe(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
