"""One layout twice on the same devices: the launcher's engine, and the same ranks started by hand."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

from e2e.gpu import memory, processes
from e2e.gpu.bare import Bare
from e2e.gpu.client import Bench
from e2e.gpu.machine import Machine
from e2e.gpu.pods import READY_SECONDS, Group, resource
from e2e.gpu.shapes import Layout

Obj = dict[str, Any]

LAUNCHER, BARE = "launcher", "bare"
_NETWORKS: Final = 31


class Contest:
    """Both sides of a layout. ``number`` keeps the addresses of several contests of a machine apart.

    ``percent`` is the share of a device's memory that each side may take. ``room`` is the KV cache of a rank in GiB;
    without it the launcher's engine finds out how much is free, and the bare engine is given as much.
    """

    def __init__(
        self, layout: Layout, machine: Machine, model: Path, *, number: int, percent: int, room: int | None = None
    ) -> None:
        self.layout = layout
        self._machine = machine
        self._model = model
        self._percent = percent
        self._folder = machine.folder / layout.name
        self._room = None if room is None else room << 30
        extra = [] if room is None else ["--kv-cache-memory-bytes", f"{room}G"]
        engine: Obj = {"config": {"gpuMemoryPercent": percent}, "extraArgs": extra}
        self._cluster = resource(layout, machine, model, engine=engine)
        self._network = _NETWORKS + 2 * number
        self._group = Group(layout, machine, self._cluster, network=self._network, folder=self._folder / LAUNCHER)
        self._bare: Bare | None = None
        self._started = 0.0
        self._ready_seconds: dict[str, float] = {}
        self.rounds: dict[str, list[Obj]] = {LAUNCHER: [], BARE: []}

    def start(self) -> None:
        """Begin to load the launcher's engine."""
        self._started = time.monotonic()
        self._group.start()

    def start_bare(self) -> None:
        """Begin to load the other one as soon as the launcher's engine has looked how much memory is free.

        It then finds what the first one has compiled, unless both load at once.
        """
        room = self._room or memory.room_reported(self._group)
        if self._bare is not None or (room is None and not self._machine.rehearsal):
            return
        homes = [self._group.folder(index) / "home" for index in range(self.layout.pods)]
        settings, network = self._settings(room), self._network + 1
        bare = Bare(self.layout, self._machine, self._folder / BARE, network=network, settings=settings, homes=homes)
        bare.start(self._model)
        self._bare = bare

    def _settings(self, room: int | None) -> list[str]:
        """The flags of the bare engine that are not the layout's."""
        if self._machine.rehearsal:
            words = ["--max-model-len", "1024", "--max-num-seqs", "8", "--max-num-batched-tokens", "1024"]
            words += ["--load-format", "dummy", "--kv-cache-memory-bytes", "16M"]
            return [*words, "-cc.mode=2", "-cc.backend=eager"]
        share = f"{(self._percent - 5) / 100:.2f}" if self._room is None else f"{self._percent / 100:.2f}"
        words = ["--max-model-len", "4096", "--gpu-memory-utilization", share, "--load-format", "dummy"]
        return [*words, "--kv-cache-memory-bytes", str(room)]

    def wait_launcher(self) -> None:
        """Until its engine serves. Raises RuntimeError with what it has printed when it does not."""
        poll = self.start_bare if self._room is None else lambda: None
        self._group.wait_ready(poll=poll)
        self._ready_seconds[LAUNCHER] = round(time.monotonic() - self._started, 1)

    def wait_bare(self) -> None:
        """The same for the other one."""
        if self._bare is None:
            raise RuntimeError(f"{self.layout.name}: the engine did not log the room for its KV cache")
        self._ready_seconds[BARE] = round(self._bare.wait_ready(limit=READY_SECONDS), 1)

    def measure(self, bench: Bench, side: str, prompts: int, *, keep: bool = True) -> None:
        """One round of one side."""
        if self._bare is None:
            raise RuntimeError("one side has not been started")
        sides = {
            LAUNCHER: (self._group.addresses[0], self._group.engine_port),
            BARE: (self._bare.addresses[0], self._bare.port),
        }
        found = bench.measure(*sides[side], prompts)
        if keep:
            self.rounds[side].append(found)

    def described(self) -> Obj:
        """What was started, how long that took, and what both said of memory."""
        return {
            "launcher_ready_seconds": self._ready_seconds[LAUNCHER],
            "bare_ready_seconds": self._ready_seconds[BARE],
            "starts_and_rounds_seconds": round(time.monotonic() - self._started, 1),
            **self.rounds,
            "memory": memory.compare(self._cluster, self._model, self._group, self._machine),
            "accelerator_metrics": _accelerator_lines(self._group),
            "launcher_resident_bytes": [processes.resident_bytes(each.pid) for each in self._group.processes],
            "command": json.loads(self._group.ask(0, "/statusz")[1])["command"],
        }

    def kill(self) -> None:
        if self._bare is not None:
            self._bare.kill()
        self._group.kill()


def _accelerator_lines(group: Group) -> list[str]:
    """What each launcher says of its devices, a moment after the load."""
    texts = [group.ask(index, "/metrics")[1] for index in range(group.layout.pods)]
    return [line for text in texts for line in text.splitlines() if line.startswith("trireme_launcher_accelerator_")]
