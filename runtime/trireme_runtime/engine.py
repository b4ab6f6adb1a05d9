"""The engine as a child process: its output goes straight through, and its last lines are kept."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Mapping, Sequence

_CHUNK_BYTES = 65536
_TAIL_LINES = 40
_TAIL_LINE_BYTES = 500
# From here on the engine compiles and warms up: vllm/v1/worker/gpu_model_runner.py, .../cpu_model_runner.py.
_LOADED = (b"Model loading took", b"Warming up model for the compilation")


class Tail:
    """The last lines of the engine's output, each cut to a sane length; filled by two threads.

    has_loaded: a line said that the weights are in memory.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: deque[bytes] = deque(maxlen=_TAIL_LINES)
        self.has_loaded = False

    def add(self, line: bytes) -> None:
        line = line.rstrip()[:_TAIL_LINE_BYTES]
        if line:
            self.has_loaded = self.has_loaded or any(sign in line for sign in _LOADED)
            with self._lock:
                self._lines.append(line)

    def lines(self) -> list[str]:
        with self._lock:
            return [line.decode("utf-8", errors="replace") for line in self._lines]


class Engine:
    """A started engine. The launcher's main loop reaps it; nothing here waits for the process itself."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start ``command`` in a session of its own; raises OSError when it cannot be started."""
        self.tail = Tail()
        pipes = [os.pipe(), os.pipe()]
        actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        ]
        actions += [(os.POSIX_SPAWN_DUP2, write, target) for target, (_, write) in enumerate(pipes, start=1)]
        try:
            self.pid = os.posix_spawnp(
                command[0],
                [*command],
                {**environment},
                file_actions=actions,
                setsid=True,
                setsigmask=(),  # the launcher waits for its signals blocked, the engine must not inherit that
                setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores these two
            )
        except OSError:
            for read, _ in pipes:
                os.close(read)
            raise
        finally:
            for _, write in pipes:
                os.close(write)
        self._pumps = [
            threading.Thread(target=_pump, args=(read, target, self.tail), name=f"output-{target}", daemon=True)
            for target, (read, _) in enumerate(pipes, start=1)
        ]
        for pump in self._pumps:
            pump.start()

    def terminate(self) -> None:
        """Ask the engine's main process to end; it ends its own children."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def finish_output(self, timeout_seconds: float = 1.0) -> None:
        """Wait until all output went through; call it when every process of the engine has ended."""
        for pump in self._pumps:
            pump.join(timeout_seconds)


def _pump(source: int, target: int, tail: Tail) -> None:
    rest = b""
    while chunk := os.read(source, _CHUNK_BYTES):
        _write_all(target, chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            tail.add(line)
        if len(rest) > _CHUNK_BYTES:
            tail.add(rest)
            rest = b""
    tail.add(rest)
    os.close(source)


def _write_all(target: int, data: bytes) -> None:
    # A log that nobody reads any more must not end the engine, so an error here only loses the text.
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(target, data) :]
