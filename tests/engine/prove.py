"""Preflights with the engine's own torch on loopback addresses: ``prove.py CASE``, with the engine's Python.

CASE is JSON: ``runtime`` (the launcher's zipapp, zlib, base64) and either ``pods`` (the environment of each launcher,
whose engine only leaves a mark) or ``frozen`` (a pod whose measuring process is stopped when it has joined). The last
line of the output is JSON. One file and no imports but the standard library's and the launcher's, so that it also runs
where it is all there is, inside the engine's image.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from pathlib import Path
from typing import Any

SECONDS = 240.0
_NETWORK = "127.0.22"
_QUIET = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
_NAMES = """
import os, socket
_names = dict(pair.split("=", 1) for pair in os.environ.get("LOOPBACK_NAMES", "").split(",") if pair)
_resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *args, **kwargs: _resolve(_names.get(host, host), *args, **kwargs)
"""
_ENGINE = """#!{python}
import os, time
open(os.environ["TMPDIR"] + "/engine-started", "w").close()
time.sleep(600)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {SECONDS:.0f} s: {what}")
        time.sleep(0.05)


def variables(index: int, count: int, per_pod: int, ports: dict[str, int], folder: Path) -> dict[str, str]:
    """What the contract promises to the pod of this index."""
    names = [f"g-0{f'-{each}' if each else ''}.g={_NETWORK}.{each + 1}" for each in range(count)]
    (folder / f"pod-{index}").mkdir()
    return {
        **_QUIET,
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder / f"pod-{index}"),
        "PYTHONPATH": str(folder / "path"),
        "LOOPBACK_NAMES": ",".join(names),
        "LWS_LEADER_ADDRESS": "g-0.g",
        "LWS_GROUP_SIZE": str(count),
        "LWS_WORKER_INDEX": str(index),
        "TRIREME_CONTRACT": "1",
        "TRIREME_CLUSTER": "g",
        "TRIREME_ZONE": "",
        "TRIREME_POD_NAME": f"g-0-{index}" if index else "g-0",
        "TRIREME_POD_NAMESPACE": "ns",
        "TRIREME_POD_UID": f"uid-{index}",
        "TRIREME_POD_IP": f"{_NETWORK}.{index + 1}",
        "TRIREME_TENSOR_PARALLEL_SIZE": str(per_pod),
        "TRIREME_PIPELINE_PARALLEL_SIZE": str(count),
        "TRIREME_RANKS_PER_POD": str(per_pod),
        "TRIREME_GRACE_SECONDS": "30",
        "TRIREME_SETTLE_SECONDS": "0",
        "TRIREME_TERMINATION_LOG": str(folder / f"pod-{index}/cause"),
        **{name: str(port) for name, port in ports.items()},
    }


def lay_out(folder: Path, runtime: str) -> dict[str, int]:
    """The files of all pods; the ports that the contract fixes."""
    (folder / "runtime.pyz").write_bytes(zlib.decompress(base64.b64decode(runtime)))
    (folder / "path").mkdir()
    (folder / "path/sitecustomize.py").write_text(_NAMES)
    engine = folder / "engine"
    engine.write_text(_ENGINE.format(python=sys.executable))
    engine.chmod(0o755)
    return {f"TRIREME_{name}_PORT": free_port() for name in ("ENGINE", "LAUNCHER", "MASTER")}


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread may end between the listing and the reading
            for child in task.read_text().split():
                found += [int(child), *children(int(child))]
    return found


def group(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Real launchers, until the leader has started its engine or ended."""
    ports = lay_out(folder, case["runtime"])
    pods, per_pod = case["pods"], case["perPod"]
    environments = [variables(index, len(pods), per_pod, ports, folder) | pod for index, pod in enumerate(pods)]
    began = time.monotonic()
    processes = []
    for index, environment in enumerate(environments):
        with (folder / f"pod-{index}/output").open("wb") as output:
            argv = [sys.executable, str(folder / "runtime.pyz"), str(folder / "engine")]
            processes.append(subprocess.Popen(argv, env=environment, stdout=output, stderr=output))
    marks = [folder / f"pod-{index}/engine-started" for index in range(len(pods))]
    try:
        until(lambda: processes[0].poll() is not None or all(mark.exists() for mark in marks), "the preflight is over")
        found: dict[str, Any] = {"seconds": round(time.monotonic() - began, 1), "started": marks[0].exists()}
        if processes[0].poll() is None:
            address = f"http://{_NETWORK}.1:{ports['TRIREME_LAUNCHER_PORT']}"
            with urllib.request.urlopen(f"{address}/statusz", timeout=10) as answer:  # noqa: S310
                found["report"] = json.loads(answer.read())["preflight"]
            # What runs now is the engine alone: one process in each pod.
            found["processes"] = [len(children(process.pid)) for process in processes]
        else:
            found["cause"] = json.loads((folder / "pod-0/cause").read_text())
        return found
    finally:
        for process in processes:
            for pid in [process.pid, *children(process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def freeze(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Three pods' measuring processes; one of them stops answering when it has joined the others."""
    ports = lay_out(folder, case["runtime"])
    sys.path.insert(0, str(folder / "runtime.pyz"))
    from trireme_runtime import environment  # noqa: PLC0415  (it was laid out just now)
    from trireme_runtime.preflight.measuring import Measuring  # noqa: PLC0415
    from trireme_runtime.preflight.report import Place, Program  # noqa: PLC0415

    pods = [environment.parse(variables(index, 3, 1, ports, folder)) for index in range(3)]
    settings = environment.Preflight(enforced=True)
    found = [Measuring(pod, settings, sys.executable, {**os.environ, **_QUIET}) for pod in pods]

    def state_of(index: int) -> Program:
        for measuring in found:
            measuring.poll(time.monotonic())
        return found[index].state

    try:
        until(lambda: all(state_of(index) is Program.READY for index in range(3)), "all processes have torch")
        places = tuple(Place(pod.pod_name, pod.pod_ip, 1) for pod in pods)
        victim = case["frozen"]
        # The last one comes only when the victim stands still: nothing is measured before.
        last = next(index for index in (2, 1) if index != victim)
        for index in {0, 1, 2} - {last}:
            found[index].start(places)
        (frozen,) = found[victim]._processes
        until(lambda: state_of(victim) and frozen.step == "wait", "it has joined")
        os.kill(frozen.pid, signal.SIGSTOP)
        found[last].start(places)
        began = time.monotonic()
        until(lambda: state_of(0) is Program.FAILED, "the leader's process names what hangs")
        return {
            "seconds": round(time.monotonic() - began, 1),
            "checks": [check.as_json() for check in found[0].checks],
        }
    finally:
        for measuring in found:
            measuring.stop()


def left() -> int:
    """How many processes are there still after what SIGKILL needs to give torch's memory back on a busy machine."""
    deadline = time.monotonic() + 20
    while True:
        # In a container this is process 1, to which every orphan comes: what has ended is taken off the list.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        count = len(children(os.getpid()))
        if not count or time.monotonic() > deadline:
            return count
        time.sleep(0.05)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as place:
        result = freeze(given, Path(place)) if "frozen" in given else group(given, Path(place))
        result["left"] = left()
        sys.stdout.write(json.dumps(result) + "\n")
