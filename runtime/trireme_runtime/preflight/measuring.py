"""The measuring processes of one pod, one for each of its ranks: started, listened to, timed and ended.

Each is in a session of its own, so that nothing of it can outlive its end. Their output is read without waiting, in the
launcher's main loop.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trireme_runtime.environment import Environment, Preflight
from trireme_runtime.preflight.local import is_judged
from trireme_runtime.preflight.report import GIGA, Check, Name, Place, Program

_LINE_BYTES = 1024
_CHUNK_BYTES = 65536
_LATE_SECONDS = 1.0
"""A process is given a little more than its own limit, since its own words are better than "it hangs"."""

_START = "import sys; sys.path.insert(0, {path!r}); from trireme_runtime.preflight.bandwidth import main; main()"
_EXECUTED = re.compile(r"""^'''exec' "?([^"\s]+)""")
_FIXED = {
    # Connections of pairs are made when they are used: then one that hangs has a name.
    "TORCH_GLOO_LAZY_INIT": "1",
    "OMP_NUM_THREADS": "1",
}


def interpreter(program: str, path: str | None) -> str:
    """The Python that runs the engine's program, as the program's first line names it; else the launcher's own.

    Installers write a first line that is too long for the kernel as a shell script that executes Python in its second.
    """
    found = shutil.which(program, path=path)
    if found is None:
        return sys.executable
    if Path(found).name.startswith("python"):
        return found
    try:
        with Path(found).open("rb") as stream:
            lines = stream.read(_LINE_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return sys.executable
    return _of_lines(lines, path) or sys.executable


def _of_lines(lines: Sequence[str], path: str | None) -> str | None:
    if not lines or not lines[0].startswith("#!"):
        return None
    words = [word for word in lines[0][2:].split() if not word.startswith("-")]
    if not words:
        return None
    if Path(words[0]).name == "env":
        return next((shutil.which(word, path=path) for word in words[1:] if word.startswith("python")), None)
    if Path(words[0]).name.startswith("python"):
        return words[0]
    executed = _EXECUTED.match(lines[1]) if len(lines) > 1 else None
    return executed.group(1) if executed else None


class _Process:
    """One rank's process: what it said, and what it is doing until when."""

    def __init__(self, python: str, variables: Mapping[str, str]) -> None:
        """Start it; raises OSError."""
        self.ready = self.done = False
        self._open = {1, 2}
        self.step = ""
        self.peer: int | None = None
        self.seconds = 0.0
        self.deadline = float("inf")
        self._rest = {1: b"", 2: b""}
        pipes = [os.pipe() for _ in range(3)]
        ours = [pipes[0][1], pipes[1][0], pipes[2][0]]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        code = _START.format(path=str(Path(__file__).parents[2]))
        try:
            self.pid = os.posix_spawn(
                python,
                [python, "-c", code],
                {**variables, **_FIXED},
                file_actions=[(os.POSIX_SPAWN_DUP2, end, target) for target, end in enumerate(theirs)],
                setsid=True,
                setsigmask=(),  # the launcher waits for its signals blocked
                setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
            )
        except OSError:
            for end in ours:
                os.close(end)
            raise
        finally:
            for end in theirs:
                os.close(end)
        self._input, self._output, self._errors = ours
        for end in ours:
            os.set_blocking(end, False)

    def send(self, plan: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it ended; what it said last tells
            os.write(self._input, json.dumps(plan).encode() + b"\n")

    def events(self) -> list[dict[str, Any]]:
        """What it said since the last call."""
        self._read(self._output, 1)
        self._read(self._errors, 2)
        *lines, self._rest[1] = self._rest[1].split(b"\n")
        found = []
        for line in lines:
            with contextlib.suppress(ValueError):  # a library may print too
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    found.append(event)
        return found

    def last_words(self) -> str:
        lines = [line.strip() for line in self._rest[2].decode(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"

    @property
    def ended(self) -> bool:
        """Whether it says no more."""
        return 1 not in self._open

    def _read(self, end: int, name: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while name in self._open:
                chunk = os.read(end, _CHUNK_BYTES)
                if not chunk:
                    self._open.discard(name)
                self._rest[name] = (self._rest[name] + chunk)[-_CHUNK_BYTES:]

    def kill(self) -> None:
        """End it and everything in its session; process 1 reaps."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for end in (self._input, self._output, self._errors):
            with contextlib.suppress(OSError):
                os.close(end)


class Measuring:
    """All measuring processes of this pod."""

    def __init__(
        self, environment: Environment, settings: Preflight, python: str, variables: Mapping[str, str]
    ) -> None:
        self.state = Program.STARTING
        self.why = ""
        self.checks: list[Check] = []
        self._environment = environment
        self._settings = settings
        self._on_devices = is_judged(settings.accelerator)
        self._world = environment.group_size * environment.ranks_per_pod
        self._pods: tuple[Place, ...] = ()
        self._processes: list[_Process] = []
        if self._world == 1 and not self._on_devices:
            self.state = Program.NONE
            return
        try:
            for _ in range(environment.ranks_per_pod):
                self._processes.append(_Process(python, variables))
        except OSError as error:
            self._give_up(f"{python} cannot be started: {error.strerror}")

    def start(self, pods: tuple[Place, ...]) -> None:
        """Let every rank begin; ``pods`` by index."""
        self.state = Program.RUNNING
        self._pods = pods
        environment = self._environment
        for local, process in enumerate(self._processes):
            process.send(
                {
                    "rank": environment.worker_index * environment.ranks_per_pod + local,
                    "world": self._world,
                    "ranksPerPod": environment.ranks_per_pod,
                    "pods": [place.pod for place in pods],
                    "address": pods[0].address,
                    "port": environment.master_port,
                    "backend": "nccl" if self._on_devices else "gloo",
                    "device": local if self._on_devices else None,
                }
            )

    def poll(self, now: float) -> None:
        """Read what the processes said and judge it."""
        for local, process in enumerate(self._processes):
            for event in process.events():
                self._take(local, process, event, now)
            if process.ended and not process.done:
                self._broke(local, process, f"its process ended: {process.last_words()}")
            if now > process.deadline:
                self._broke(local, process, f"no answer within {process.seconds:g} s: it hangs")
            if not self._processes:
                return  # all of them were ended for what this one said
        if self.state is Program.STARTING and all(process.ready for process in self._processes):
            self.state = Program.READY
        if self.state is Program.RUNNING and all(process.done for process in self._processes):
            self.stop()
            self.state = Program.DONE

    def stop(self) -> None:
        """End every process, at once."""
        for process in self._processes:
            process.kill()
        self._processes = []

    def _take(self, local: int, process: _Process, event: Mapping[str, Any], now: float) -> None:
        kind = event["event"]
        if not self._processes:
            return
        if kind == "unavailable":
            self._give_up(str(event["reason"]))
        elif kind == "ready":
            process.ready = True
            if local == 0:
                self._count(int(event["devices"]))
        elif kind == "begin":
            process.step, process.peer, process.seconds = event["step"], event.get("peer"), float(event["seconds"])
            process.deadline = now + process.seconds + _LATE_SECONDS
        elif kind == "pair":
            peer = self._pods[event["peer"]].pod
            self._found(Name.PAIRWISE, event["bytesPerSecond"], peer=peer, latency=float(event["latencySeconds"]))
        elif kind == "allReduce":
            self._found(Name.ALL_REDUCE, event["bytesPerSecond"])
        elif kind == "failed":
            self._broke(local, process, str(event["reason"]))
        elif kind == "done":
            process.done, process.deadline = True, float("inf")

    def _count(self, devices: int) -> None:
        if self._on_devices:
            wanted = self._environment.ranks_per_pod
            reason = "" if devices >= wanted else f"torch finds {devices} of {wanted} devices"
            self._add(Name.DEVICES, reason, value=devices, unit="devices", threshold=wanted)
            if reason:
                self._give_up(reason)
        if self._world == 1 and self.state is Program.STARTING:
            self.stop()
            self.state = Program.NONE

    def _found(
        self, name: Name, bytes_per_second: float, *, peer: str | None = None, latency: float | None = None
    ) -> None:
        least = self._settings.min_bandwidth
        value = round(bytes_per_second / GIGA, 3)
        reason = f"{value:g} GB/s, and at least {least} are asked for" if least and value < least else ""
        threshold = least or None
        self._add(name, reason, peer=peer, value=value, unit="GB/s", threshold=threshold, latency=latency)

    def _broke(self, local: int, process: _Process, reason: str) -> None:
        if not self._processes:
            return  # what follows a failure is none of its own
        if self.state is Program.STARTING:
            self._give_up(reason)
            return
        rank = self._environment.worker_index * self._environment.ranks_per_pod + local
        if process.step == "pairwise" and process.peer is not None:
            self._add(Name.PAIRWISE, reason, peer=self._pods[process.peer].pod, unit="GB/s")
        else:
            doing = {"join": "joining the others: ", "wait": "waiting for the others: "}.get(process.step, "")
            self._add(Name.ALL_REDUCE, f"rank {rank}: {doing}{reason}", unit="GB/s")
        self.stop()
        self.state, self.why = Program.FAILED, reason

    def _give_up(self, why: str) -> None:
        self.stop()
        self.state, self.why = Program.UNAVAILABLE, why

    def _add(self, name: Name, reason: str, **values: Any) -> None:
        environment = self._environment
        self.checks.append(
            Check(
                name=name.value,
                passed=not reason,
                pod=environment.pod_name,
                node=environment.node_name,
                reason=reason,
                **values,
            )
        )
