"""Groups whose pods are processes of this host: rendered by the operator, started by the launcher as a kubelet would.

Each pod has an address of 127.0.0.0/8, its own devices (CUDA_VISIBLE_DEVICES) and its own home. What a kubelet and
LeaderWorkerSet fill in is filled in here. Two things differ from a cluster: names of pods are put on their addresses by
Python's start-up hook (and for the engine, which also resolves them in C, in its arguments), and the ports that torch
opens on all addresses of the host are free ones.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import build_zipapp
from e2e.gpu import processes
from e2e.gpu.machine import Machine
from e2e.gpu.shapes import SERVED, Layout
from e2e.gpu.web import OK, Stream, ask, free_port
from trireme_operator import rendering
from trireme_operator.api import InferenceCluster, parse
from trireme_operator.planning import plan

Obj = dict[str, Any]

READY_SECONDS: Final = 330.0
NAME: Final = "gpu"
_PORTS: Final = tuple(f"TRIREME_{name}_PORT" for name in ("ENGINE", "LAUNCHER", "MASTER", "DATA_PARALLEL"))
_NAMES: Final = """
import os, socket
_names = dict(pair.split("=", 1) for pair in os.environ.get("LOOPBACK_NAMES", "").split(",") if pair)
_resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *args, **kwargs: _resolve(_names.get(host, host), *args, **kwargs)
"""
_ENGINE: Final = """#!{python}
import os, sys
if __name__ == "__main__":
    from vllm.entrypoints.cli.main import main
    names = dict(pair.split("=", 1) for pair in os.environ["LOOPBACK_NAMES"].split(",") if pair)
    sys.argv[1:] = [names.get(word, word) for word in sys.argv[1:]] + ["--host", os.environ["TRIREME_POD_IP"]]
    sys.exit(main())
"""
SLEEPER: Final = """#!{python}
import os, time
open(os.environ["TMPDIR"] + "/engine-started", "w").close()
time.sleep(600)
"""
"""In the engine's place, where only what comes before its start is of interest."""


def resource(layout: Layout, machine: Machine, model: Path, **spec: Any) -> InferenceCluster:
    """The resource of a layout; ``spec`` is laid over its settings."""
    config: Obj = {"maxModelLen": 4096}
    extra = ["--load-format", "dummy"]
    if machine.rehearsal:
        config = {"maxModelLen": 1024, "maxNumSeqs": 8, "maxNumBatchedTokens": 1024}
        extra += ["--kv-cache-memory-bytes", "16M", "-cc.mode=2", "-cc.backend=eager"]
    engine = spec.pop("engine", {})
    config |= engine.get("config", {})
    extra += engine.get("extraArgs", [])
    if machine.rehearsal:
        config.pop("enforceEager", None)  # pipeline stages on processors need the warm-up that it skips
    device = {} if machine.rehearsal else {"memory": str(machine.device_bytes)}
    return parse(
        {
            "apiVersion": "trireme.dev/v1alpha1",
            "kind": "InferenceCluster",
            "metadata": {"name": NAME, "namespace": "ns", "uid": "0", "generation": 1},
            "spec": {
                "model": {"source": str(model), "servedName": SERVED},
                "engine": {"config": config, "extraArgs": extra},
                "parallelism": layout.parallelism,
                "accelerator": {"resource": machine.accelerator, "perPod": layout.per_pod, **device},
                "resources": {"sharedMemory": "1Gi"},
                **spec,
            },
        }
    )


class Group:
    """One group of real launchers with their engines. ``network`` keeps the addresses of several groups apart."""

    def __init__(
        self,
        layout: Layout,
        machine: Machine,
        cluster: InferenceCluster,
        *,
        network: int,
        folder: Path,
        engine: str = _ENGINE,
        variables: Callable[[int], Mapping[str, str]] = lambda _index: {},
    ) -> None:
        self.layout = layout
        self.addresses = [f"127.0.{network}.{index + 1}" for index in range(layout.pods)]
        self.processes: list[subprocess.Popen[bytes]] = []
        self.seen: dict[tuple[int, int], processes.Process] = {}
        self._machine = machine
        self._folder = folder
        self._variables = variables
        self._ports = {name: str(free_port()) for name in _PORTS}
        template = rendering.render_template(cluster, plan(cluster), rendering.Settings("launcher:1"))
        kinds = ("leaderTemplate", "workerTemplate")
        self._containers = [template[kind]["spec"]["containers"][0] for kind in kinds]
        self._lay_out(engine)

    def _lay_out(self, engine: str) -> None:
        for name in ("path", "bin"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        build_zipapp.build(self._folder / "runtime.pyz")
        (self._folder / "path/sitecustomize.py").write_text(_NAMES)
        program = self._folder / "bin/vllm"
        program.write_text(engine.format(python=sys.executable))
        program.chmod(0o755)

    def start(self) -> None:
        for index in range(self.layout.pods):
            folder = self.folder(index)
            folder.mkdir(parents=True, exist_ok=True)
            for old in ("cause", "engine-started"):
                (folder / old).unlink(missing_ok=True)
            container = self._containers[min(index, 1)]
            places = {"8000": self._ports["TRIREME_ENGINE_PORT"]}
            words = [places.get(word, word) for word in container["args"]]
            argv = [sys.executable, str(self._folder / "runtime.pyz"), *words]
            with (folder / "output").open("wb") as output:
                environment = self._environment(index, container["env"])
                self.processes.append(subprocess.Popen(argv, env=environment, stdout=output, stderr=output))

    def _environment(self, index: int, rendered: list[Obj]) -> dict[str, str]:
        """The image's variables (this process's), those rendered with their fields filled in, LeaderWorkerSet's."""
        folder = self.folder(index)
        fields = {
            "metadata.name": self.pod(index),
            "metadata.namespace": "ns",
            "metadata.uid": f"{time.time_ns()}-{index}",
            "status.podIP": self.addresses[index],
            "spec.nodeName": f"node-{index}",
        }
        own = {}
        for variable in rendered:
            path = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            own[variable["name"]] = fields[path] if path else variable.get("value", "")
        names = [f"{self.pod(each)}.{NAME}={address}" for each, address in enumerate(self.addresses)]
        first = self._machine.first + index * self.layout.per_pod
        shown = ",".join(str(first + local) for local in range(self.layout.per_pod))
        inherited = os.environ.get("PYTHONPATH")
        return {
            **os.environ,
            **own,
            **{name: port for name, port in self._ports.items() if name in own},
            "LWS_LEADER_ADDRESS": f"{self.pod(0)}.{NAME}",
            "LWS_GROUP_SIZE": str(self.layout.pods),
            "LWS_WORKER_INDEX": str(index),
            "HOME": str(folder / "home"),
            "HF_HOME": str(folder / "home/huggingface"),
            "TMPDIR": str(folder),
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(self._folder / "path"), *([inherited] if inherited else [])]),
            "LOOPBACK_NAMES": ",".join(names),
            "TRIREME_TERMINATION_LOG": str(folder / "cause"),
            **({} if self._machine.rehearsal else {"CUDA_VISIBLE_DEVICES": shown}),
            **self._variables(index),
        }

    def folder(self, index: int) -> Path:
        return self._folder / f"pod-{index}"

    def pod(self, index: int) -> str:
        return f"{NAME}-0-{index}" if index else f"{NAME}-0"

    @property
    def engine_port(self) -> int:
        return int(self._ports["TRIREME_ENGINE_PORT"])

    def url(self, index: int, path: str) -> str:
        return f"http://{self.addresses[index]}:{self._ports['TRIREME_LAUNCHER_PORT']}{path}"

    def ask(self, index: int, path: str, *, timeout: float = 5.0) -> tuple[int, str]:
        return ask(self.url(index, path), timeout=timeout)

    def stream(self, tokens: int) -> Stream:
        return Stream(self.addresses[0], self.engine_port, tokens)

    def output(self, index: int) -> str:
        path = self.folder(index) / "output"
        return path.read_text(errors="replace") if path.exists() else ""

    def cause(self, index: int) -> Obj | None:
        """The pod's termination message; None when it wrote none."""
        path = self.folder(index) / "cause"
        text = path.read_text() if path.exists() else ""
        return json.loads(text) if text else None

    def wait_ready(self, *, limit: float = READY_SECONDS, poll: Callable[[], None] = lambda: None) -> float:
        """Seconds until all pods are ready; raises RuntimeError with the end of what each one printed."""
        began = time.monotonic()
        while not all(self.ask(index, "/readyz")[0] == OK for index in range(self.layout.pods)):
            ended = [index for index, process in enumerate(self.processes) if process.poll() is not None]
            if ended or time.monotonic() - began > limit:
                why = f"pods {ended} have ended" if ended else f"not ready within {limit:.0f} s"
                raise RuntimeError(why + "".join(self._tail(index) for index in range(self.layout.pods)))
            poll()
            time.sleep(0.25)
        self.remember()
        return time.monotonic() - began

    def remember(self) -> None:
        """Note every process of the group, to look for them when they should be gone."""
        for process in self.processes:
            self.seen |= {(each.pid, each.started): each for each in processes.tree(process.pid)}

    def find(self, index: int, title: str) -> processes.Process:
        """The first process of a pod whose title has this; raises LookupError with the titles that are there."""
        found = processes.tree(self.processes[index].pid)
        for each in found:
            if re.search(title, each.title):
                return each
        raise LookupError(f"no process {title} in {[each.title[:80] for each in found]}")

    def end(self) -> list[int | None]:
        """SIGTERM to all pods, as when a group is deleted; their exit codes, None for one that had to be killed."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        return self.wait_ended(limit=90)

    def wait_ended(self, *, limit: float) -> list[int | None]:
        """The exit codes of all launchers; None for one that still runs after the limit."""
        deadline = time.monotonic() + limit
        codes: list[int | None] = []
        for process in self.processes:
            try:
                codes.append(process.wait(max(0.1, deadline - time.monotonic())))
            except subprocess.TimeoutExpired:
                codes.append(None)
        return codes

    def kill(self) -> None:
        """Whatever still runs of it."""
        self.remember()
        processes.kill(processes.alive(self.seen.values()))
        for process in self.processes:
            process.wait(30)
        self.processes = []
        self.seen = {}

    def _tail(self, index: int) -> str:
        return "\n".join([f"\n---- {self.pod(index)}", *self.output(index).splitlines()[-60:]])
