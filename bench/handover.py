"""How long nobody leads when the operator that does is ended, or killed, while another one stands by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from statistics import median

from bench.figures import Figure
from bench.operator import Measured
from bench.stage import Stage
from tests.integration.server import OPERATOR_USER
from tests.integration.server import connected as hands_connected
from trireme_operator.kube import LEASE

_SYSTEM, _NAME = "trireme-system", "trireme"
_POLL_SECONDS = 0.01
_LIMIT_SECONDS = 60.0

EndFn = Callable[[Measured], object]
"""Ends a process; returns when it is gone."""


async def measure(stage: Stage, *, runs: int) -> list[Figure]:
    """End the leader ``runs`` times each way; a new process then stands by, so that the roles go back and forth.

    The clock begins with the signal and ends when the API server has the other one's name in the Lease. The longest of
    all counts.
    """
    async with hands_connected(stage.plane.kubeconfig) as hands:
        await hands.namespace(_SYSTEM)
        await hands.allow_operator()
    numbers = count(1)
    found = []
    with ExitStack() as stack:
        user = stage.user(OPERATOR_USER)
        leader = stack.enter_context(_holder(user, stage.folder, next(numbers)))
        await leader.answers()
        await _held(stage, by="")
        for key, end in (("handover_seconds", Measured.stop), ("takeover_seconds", Measured.kill)):
            took = []
            for _ in range(runs):
                standby = stack.enter_context(_holder(user, stage.folder, next(numbers)))
                await standby.answers()
                await standby.quiet(for_seconds=0.5)
                took.append(await _followed(stage, leader, end))
                leader = standby
            details = {"p50_s": round(median(took), 2), "all_s": [round(seconds, 2) for seconds in took]}
            found.append(Figure(key, max(took), runs, details))
    return found


async def _followed(stage: Stage, leader: Measured, end: EndFn) -> float:
    """End the leader; the seconds until another one has the Lease."""
    held = await _holder_identity(stage)
    started = time.monotonic()
    ending = asyncio.create_task(asyncio.to_thread(end, leader))
    await _held(stage, by=held)
    took = time.monotonic() - started
    await ending
    return took


async def _held(stage: Stage, *, by: str) -> None:
    """Wait until somebody else than ``by`` has the Lease.

    Raises:
        TimeoutError: nobody took it within a minute.

    """
    deadline = time.monotonic() + _LIMIT_SECONDS
    while time.monotonic() < deadline:
        if await _holder_identity(stage) not in {"", by}:
            return
        await asyncio.sleep(_POLL_SECONDS)
    raise TimeoutError(f"no other operator than {by!r} had the Lease within {_LIMIT_SECONDS:.0f} s")


async def _holder_identity(stage: Stage) -> str:
    """Who has the Lease; "" for nobody, also before the first one has made it."""
    leases = (await stage.client.get(LEASE.path(_SYSTEM)))["items"]
    found = [lease["spec"].get("holderIdentity") or "" for lease in leases if lease["metadata"]["name"] == _NAME]
    return found[0] if found else ""


@contextmanager
def _holder(kubeconfig: Path, folder: Path, number: int) -> Iterator[Measured]:
    """One of the operators for the Lease; each process has an identity of its own, as a pod's would be."""
    log = folder / "handover.log"
    operator = Measured(kubeconfig, log, lease=f"{_SYSTEM}/{_NAME}", identity=f"operator-{number}")
    operator.start()
    try:
        yield operator
    finally:
        if operator.running:
            operator.stop()
