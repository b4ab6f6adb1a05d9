"""The operator's real process, as the bench starts and ends it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import allocator
from bench.process import processor_seconds, quiet, resident_mb
from e2e import cache
from tests.integration.server import Operator

_POLL_SECONDS = 0.01


class Measured(Operator):
    """The operator's process, with the clock started when it is.

    With ``TRIREME_BENCH_PROFILE`` set to a file, it runs under cProfile, which writes there when it is stopped.
    """

    started = 0.0
    """Seconds of ``time.monotonic``."""

    def __init__(
        self, kubeconfig: Path, log: Path, *, namespaces: str = "", lease: str = "", identity: str = ""
    ) -> None:
        """As `Operator`; with the allocator of the operator's image, and with compiled modules, which it has too."""
        environment = allocator.install()
        super().__init__(
            kubeconfig, log, namespaces=namespaces, lease=lease, identity=identity, environment=environment
        )
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._environment["PYTHONPYCACHEPREFIX"] = str(cache.root() / "bench-bytecode")

    def start(self) -> None:
        """Start it."""
        profile = os.environ.get("TRIREME_BENCH_PROFILE")
        wrapped = ["-m", "cProfile", "-o", profile] if profile else []
        with self.log.open("ab") as log:
            argv = [sys.executable, *wrapped, "-m", "trireme_operator.main"]
            self.started = time.monotonic()
            self._process = subprocess.Popen(argv, env=self._environment, stdout=log, stderr=log)

    @property
    def processor_seconds(self) -> float:
        return processor_seconds(self.pid)

    @property
    def resident_mb(self) -> float:
        return resident_mb(self.pid)

    def reconciles(self) -> float:
        """How many it has done, by its own metrics."""
        return sum(value for name, value in self.metrics().items() if name.startswith("trireme_reconcile_total"))

    async def quiet(self, *, for_seconds: float = 0.15) -> float:
        """Wait until it has nothing to do; returns the moment when that began."""
        return await quiet(self.pid, for_seconds=for_seconds)

    async def answers(self, *, limit_seconds: float = 60) -> float:
        """Wait until its probe answers; returns the seconds since `start`."""
        while time.monotonic() < self.started + limit_seconds:
            if not self.running:
                raise RuntimeError(f"the operator ended; the end of its log:\n{self.log.read_text()[-3000:]}")
            if await asyncio.to_thread(self.get, "TRIREME_PROBE_PORT", "/healthz") is not None:
                return time.monotonic() - self.started
            await asyncio.sleep(_POLL_SECONDS)
        raise TimeoutError(f"the operator's probe did not answer within {limit_seconds:.0f} s")


@contextmanager
def running(kubeconfig: Path, log: Path, *, namespaces: str = "") -> Iterator[Measured]:
    """An operator that serves the given namespaces (separated by commas; none: all)."""
    operator = Measured(kubeconfig, log, namespaces=namespaces)
    operator.start()
    try:
        yield operator
    finally:
        if operator.running:
            operator.stop()
