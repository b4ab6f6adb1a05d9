"""Processes that are forked from one that has imported everything.

Two seconds of a processor are what the imports of one operator cost, and these tests start some fifty of them. What a
start does after its imports, and all that comes later, is the same; that the command itself starts is shown by the
tests that run it (`running_operator` with ``forked=False``).
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

PRELOADED = ("trireme_operator.main", "trireme_operator.metricsapi.main")

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload([*PRELOADED, __name__])


class Forked:
    """What `subprocess.Popen` is to a command."""

    def __init__(self, module: str, environment: Mapping[str, str], log: Path) -> None:
        """Run ``main()`` of a module, whose output goes to the end of the log."""
        self._name = module
        self._process = _server.Process(target=_run, args=(module, dict(environment), str(log)), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._name, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Nothing to a process that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(module: str, environment: dict[str, str], log: str) -> None:
    """In the new process."""
    with Path(log).open("ab") as file:
        for output in (1, 2):
            os.dup2(file.fileno(), output)
    os.environ.clear()
    os.environ.update(environment)
    importlib.import_module(module).main()
