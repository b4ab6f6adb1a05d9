"""The same engine without the launcher: vLLM with the flags that somebody would write by hand for the same ranks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from e2e.gpu import processes
from e2e.gpu.machine import Machine
from e2e.gpu.shapes import SERVED, Layout
from e2e.gpu.web import OK, ask, free_port

_ENTRY: Final = """
import sys
if __name__ == "__main__":
    from vllm.entrypoints.cli.main import main
    sys.exit(main())
"""


class Bare:
    """A started engine, one process tree for each pod of the layout."""

    def __init__(
        self, layout: Layout, machine: Machine, folder: Path, *, network: int, settings: list[str], homes: list[Path]
    ) -> None:
        """``settings``: flags beside those of the layout, the same on every node. ``homes``: of each node, which may
        hold what an engine with the same settings has compiled.
        """
        self._layout = layout
        self._machine = machine
        self._folder = folder
        self._settings = settings
        self._homes = homes
        self.addresses = [f"127.0.{network}.{index + 1}" for index in range(layout.pods)]
        self.port, self._master, self._replicas = free_port(), free_port(), free_port()
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, model: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        entry = self._folder / "serve.py"
        entry.write_text(_ENTRY)
        per_pod = self._layout.per_pod
        for index, address in enumerate(self.addresses):
            place = ["--host", address, "--port", str(self.port), "--served-model-name", SERVED]
            words = ["serve", str(model), *place, *self._settings, *self._flags(index)]
            folder = self._folder / f"node-{index}"
            folder.mkdir(exist_ok=True)
            shown = ",".join(str(self._machine.first + index * per_pod + local) for local in range(per_pod))
            network = {"NCCL_SOCKET_IFNAME": "=lo", "GLOO_SOCKET_IFNAME": "lo"} if self._layout.pods > 1 else {}
            environment = {**os.environ, **network, "VLLM_HOST_IP": address, "HOME": str(self._homes[index])}
            environment |= {"TMPDIR": str(folder)}
            environment |= {} if self._machine.rehearsal else {"CUDA_VISIBLE_DEVICES": shown}
            with (folder / "output").open("wb") as output:
                argv = [sys.executable, str(entry), *words]
                self.processes.append(subprocess.Popen(argv, env=environment, stdout=output, stderr=output))

    def _flags(self, index: int) -> list[str]:
        """The ranks of one node: ``--nnodes`` where a replica spans nodes or nothing is replicated."""
        layout = self._layout
        words = ["--tensor-parallel-size", str(layout.tensor), "--pipeline-parallel-size", str(layout.pipeline)]
        words += ["--enable-expert-parallel"] if layout.experts else []
        words += ["--data-parallel-size", str(layout.data)] if layout.data > 1 else []
        if layout.pods == 1:
            return words
        if layout.data > 1:
            local = layout.per_pod // (layout.tensor * layout.pipeline)
            words += ["--data-parallel-address", self.addresses[0], "--data-parallel-rpc-port", str(self._replicas)]
            words += ["--data-parallel-size-local", str(local)]
            return words if index == 0 else [*words, "--data-parallel-start-rank", str(index * local), "--headless"]
        words += ["--nnodes", str(layout.pods), "--node-rank", str(index)]
        words += ["--master-addr", self.addresses[0], "--master-port", str(self._master)]
        return words if index == 0 else [*words, "--headless"]

    def wait_ready(self, *, limit: float) -> float:
        """Seconds until it answers; raises RuntimeError with the end of what it printed."""
        began = time.monotonic()
        while ask(f"http://{self.addresses[0]}:{self.port}/health")[0] != OK:
            ended = [index for index, process in enumerate(self.processes) if process.poll() is not None]
            if ended or time.monotonic() - began > limit:
                tails = [
                    (self._folder / f"node-{index}/output").read_text(errors="replace") for index in (ended or [0])
                ]
                raise RuntimeError(
                    f"bare vLLM is not ready: nodes {ended} ended\n" + "\n".join(t[-4000:] for t in tails)
                )
            time.sleep(0.25)
        return time.monotonic() - began

    def kill(self) -> None:
        trees = [each for process in self.processes for each in processes.tree(process.pid)]
        processes.kill(trees)
        for process in self.processes:
            process.wait(30)
        self.processes = []
