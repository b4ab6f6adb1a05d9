"""One node of the double: a leader that serves, or a headless worker that never ends by itself.

What it does when another node dies is what vLLM 0.32 was seen to do with gloo: a leader does not notice until a
step touches the dead worker and then ends with code 0; a worker does not notice at all.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time

from tests.double import rendezvous
from tests.double.api import Api
from tests.double.controls import Controls
from tests.double.flags import Settings
from tests.double.measure import Metrics
from tests.double.scheduler import Scheduler
from tests.double.web import Connection

log = logging.getLogger("vllm-double")
_EXIT_AFTER_BROKEN_STREAM_SECONDS = 5.0
_EXIT_AFTER_FAILED_REQUEST_SECONDS = 0.7
_POLL_SECONDS = 0.05


class Node:
    """``run`` returns the process's exit code."""

    def __init__(self, settings: Settings, controls: Controls) -> None:
        self._settings = settings
        self._controls = controls
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._shape = {
            "nnodes": settings.nnodes,
            "tensor": settings.tensor_parallel_size,
            "pipeline": settings.pipeline_parallel_size,
            "data": settings.data_parallel_size,
            "model": settings.model,
        }

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._on_sigterm)
        loop.add_signal_handler(signal.SIGINT, self._on_sigterm)
        if self._controls.exit_after is not None:
            loop.call_later(self._controls.exit_after, self.exit, self._controls.exit_code)
        self._spawn(self._live())
        return await self._exit

    def exit(self, code: int) -> None:
        if not self._exit.done():
            self._exit.set_result(code)

    async def _live(self) -> None:
        try:
            await self._serve()
        except (rendezvous.JoinError, OSError):
            log.exception("the engine cannot start")
            self.exit(1)

    async def _serve(self) -> None:
        raise NotImplementedError

    def _on_sigterm(self) -> None:
        log.info("received SIGTERM")
        if not self._controls.ignore_sigterm:
            self._spawn(self._stop())

    async def _stop(self) -> None:
        raise NotImplementedError

    async def _load(self) -> None:
        log.info("loading %s", self._settings.model)
        await asyncio.sleep(self._controls.load)
        if self._controls.never_ready:
            await asyncio.Event().wait()

    def _spawn(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Worker(Node):
    async def _serve(self) -> None:
        settings = self._settings
        worker = rendezvous.Worker(self._shape, settings.node_rank)
        await worker.join(settings.master_addr, settings.master_port, settings.join_timeout_seconds)
        await self._load()
        log.info("headless node %d has loaded", settings.node_rank)
        await worker.follow(self._obey)
        log.info("the connection to the leader is gone; this node stays")

    def _obey(self, message: rendezvous.Message) -> None:
        if "die" in message:
            self.exit(int(message["die"]))
        elif "kill" in message:
            os.kill(os.getpid(), signal.SIGKILL)

    async def _stop(self) -> None:
        await asyncio.sleep(self._controls.worker_stop)
        self.exit(0)


class Leader(Node):
    def __init__(self, settings: Settings, controls: Controls) -> None:
        super().__init__(settings, controls)
        self._metrics = Metrics(settings.served_names[0])
        self._scheduler = Scheduler(
            max_running=settings.max_num_seqs, controls=controls, metrics=self._metrics, on_dead=self._on_dead
        )
        self._api = Api(settings, controls, self._scheduler, self._metrics, self._command)
        self._connections: set[Connection] = set()
        self._group: rendezvous.Leader | None = None
        self._broken_since = 0.0

    async def _serve(self) -> None:
        settings = self._settings
        if settings.nnodes > 1:
            self._group = rendezvous.Leader(self._shape, settings.nnodes, self._on_lost)
            await self._group.join(settings.master_port, settings.join_timeout_seconds)
        await self._load()
        if self._group is not None:
            await self._group.loaded()
        await self._listen()

    async def _listen(self) -> None:
        settings = self._settings
        loop = asyncio.get_running_loop()
        await loop.create_server(
            lambda: Connection(self._api.handle, self._connections), settings.host, settings.port, backlog=1024
        )
        log.info("serving %s on port %d", settings.served_names[0], settings.port)

    def _on_lost(self, rank: int) -> None:
        log.info("the connection to node %d is gone", rank)
        self._scheduler.broken = f"node {rank} is gone"
        self._broken_since = time.monotonic()

    def _on_dead(self) -> None:
        """A step failed: requests were told; the API server's watchdog ends the process a little later."""
        was_idle = time.monotonic() - self._broken_since > 1.0
        log.error("EngineDeadError: %s", self._scheduler.broken)
        delay = _EXIT_AFTER_FAILED_REQUEST_SECONDS if was_idle else _EXIT_AFTER_BROKEN_STREAM_SECONDS
        asyncio.get_running_loop().call_later(delay, self.exit, 0)

    async def _stop(self) -> None:
        """Without a time limit what runs is cut; with one it may finish, and new requests get an error."""
        self._api.draining = True
        try:
            async with asyncio.timeout(self._settings.shutdown_timeout_seconds):
                await self._scheduler.idle()
        except TimeoutError:
            log.info("what still runs is cut")
        self._scheduler.fail_all("the engine is shutting down", reason="abort")
        await asyncio.sleep(_POLL_SECONDS)  # the last bytes go out
        self.exit(0)

    def _command(self, verb: str, values: dict[str, str]) -> str:
        """Obey ``POST /double/<verb>``; returns what is wrong with it, if anything."""
        controls = self._controls
        if verb in {"hang", "refuse", "unhealthy", "no_metrics"}:
            setattr(controls, verb, values.get("value", "1") != "0")
        elif verb == "slow":
            controls.step = float(values["step_seconds"])
        elif verb == "die":
            asyncio.get_running_loop().call_later(_POLL_SECONDS, self.exit, int(values.get("code", "0")))
        elif verb == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif verb in {"worker-die", "worker-kill"}:
            rank = int(values.get("rank", "1"))
            message = {verb.removeprefix("worker-"): values.get("code", "0")}
            return "" if self._group is not None and self._group.tell(rank, message) else f"there is no node {rank}"
        else:
            return (
                f"{verb!r} is none of hang, refuse, unhealthy, no_metrics (value=0 takes it back), "
                "slow (step_seconds), die (code), kill, worker-die (rank, code), worker-kill (rank)"
            )
        return ""


class Replica(Leader):
    """A pod of replicas that answers HTTP itself and steps together with those of the others (hybrid, external)."""

    async def _serve(self) -> None:
        settings = self._settings
        worker = rendezvous.Worker(self._shape, settings.node_rank)
        await worker.join(settings.master_addr, settings.master_port, settings.join_timeout_seconds)
        await self._load()
        self._spawn(self._follow(worker))
        await self._listen()

    async def _follow(self, worker: rendezvous.Worker) -> None:
        await worker.follow(lambda message: os.kill(os.getpid(), signal.SIGKILL) if "kill" in message else None)
        self._on_lost(0)
