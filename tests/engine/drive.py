"""Run one group of real launchers and real engines on loopback addresses: ``drive.py PLAN``, with the engine's Python.

PLAN is JSON: ``runtime`` (the launcher's zipapp, zlib, base64), ``plugin`` (source text), ``model`` (a config.json),
``pods`` (each with ``env`` and ``args`` as rendered) and ``requests`` (completions to ask of each serving pod). The
last line of the output is JSON: what each pod said, what was answered, and how the pods ended. One file and no imports
but the standard library's and the engine's, so that it also runs where it is all there is, inside the engine's image.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Any

READY_SECONDS = 330.0
_NETWORK = "127.0.21"
_PORTS = ("TRIREME_ENGINE_PORT", "TRIREME_LAUNCHER_PORT", "TRIREME_MASTER_PORT", "TRIREME_DATA_PARALLEL_PORT")
_FLAGS = (
    *("--load-format", "dummy", "--max-model-len", "256", "--max-num-seqs", "4", "--max-num-batched-tokens", "256"),
    *("--kv-cache-memory-bytes", "16M"),
)
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "GLOO_SOCKET_IFNAME": "lo",
    "VLLM_MQ_MAX_CHUNK_BYTES_MB": "4",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_NAMES = """
import os, socket
_names = dict(pair.split("=", 1) for pair in os.environ.get("LOOPBACK_NAMES", "").split(",") if pair)
_resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *args, **kwargs: _resolve(_names.get(host, host), *args, **kwargs)
"""
# Names of pods are known to Python only, and the engine also resolves them in C.
_WRAPPER = """#!{python}
import os, sys
names = dict(pair.split("=", 1) for pair in os.environ["LOOPBACK_NAMES"].split(","))
words = [names.get(word, word) for word in sys.argv[1:]]
words += ["--host", os.environ["TRIREME_POD_IP"], *{flags!r}]
# Pipeline stages need the warm-up that --enforce-eager skips, and experts over processes can't be traced.
stages = os.environ["TRIREME_PIPELINE_PARALLEL_SIZE"] != "1"
words += ["-cc.mode=2", "-cc.backend=eager"] if stages else ["--enforce-eager"]
ranks = int(os.environ["TRIREME_RANKS_PER_POD"])
if ranks > 1 and "--nnodes" in words:
    words += ["--device-ids", ",".join(str(rank) for rank in range(ranks))]
os.execv(sys.executable, [sys.executable, {program!r}, *words])
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


def http(url: str, body: dict[str, Any] | None = None, *, timeout: float = 5) -> tuple[int, str]:
    """Status and text; 0 when nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def write_model(folder: Path, config: dict[str, Any]) -> None:
    """A model without weights (they are made up by the engine) and a tokenizer that knows bytes."""
    from tokenizers import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  (in the engine only)
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
    )

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    words = ["<s>", "</s>", "<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special}))


class Group:
    """The pods of the plan as processes."""

    def __init__(self, plan: dict[str, Any], folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._ports = {name: str(free_port()) for name in _PORTS}
        self.addresses = [f"{_NETWORK}.{index + 1}" for index in range(len(plan["pods"]))]
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        folder = self._folder
        (folder / "runtime.pyz").write_bytes(zlib.decompress(base64.b64decode(self._plan["runtime"])))
        (folder / "path").mkdir()
        (folder / "path/sitecustomize.py").write_text(_NAMES)
        (folder / "path/cpu_experts.py").write_text(self._plan["plugin"])
        plugin = folder / "path/cpu_experts-1.dist-info"
        plugin.mkdir()
        (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: cpu-experts\nVersion: 1\n")
        (plugin / "entry_points.txt").write_text("[vllm.general_plugins]\ncpu_experts = cpu_experts:register\n")
        (folder / "bin").mkdir()
        program = str(Path(sys.executable).parent / "vllm")
        (folder / "bin/vllm").write_text(_WRAPPER.format(python=sys.executable, flags=_FLAGS, program=program))
        (folder / "bin/vllm").chmod(0o755)
        write_model(folder / "model", self._plan["model"])
        # What the image knows of model classes: without it each pod imports everything in one more process.
        with contextlib.suppress(OSError):
            shutil.copytree("/opt/vllm/modelinfos", folder / "cache" / "modelinfos")
        for index, pod in enumerate(self._plan["pods"]):
            self._start(index, pod)

    def _start(self, index: int, pod: dict[str, Any]) -> None:
        folder = self._folder / f"pod-{index}"
        folder.mkdir()
        count = len(self.addresses)
        names = [f"g-0{f'-{each}' if each else ''}.g={self.addresses[each]}" for each in range(count)]
        own = {name: port for name, port in self._ports.items() if name in pod["env"]}
        environment = {
            **pod["env"],
            **_QUIET,
            **own,
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "HF_HOME": str(folder),
            "VLLM_CACHE_ROOT": str(self._folder / "cache"),
            "TMPDIR": str(folder),
            "PYTHONPATH": str(self._folder / "path"),
            "LOOPBACK_NAMES": ",".join(names),
            "LWS_LEADER_ADDRESS": "g-0.g",
            "LWS_GROUP_SIZE": str(count),
            "LWS_WORKER_INDEX": str(index),
            "TRIREME_POD_IP": self.addresses[index],
            "TRIREME_POD_NAME": f"g-0-{index}" if index else "g-0",
            "TRIREME_POD_UID": f"uid-{index}",
            "VLLM_HOST_IP": self.addresses[index],
            "TRIREME_TERMINATION_LOG": str(folder / "cause"),
        }
        places = {"MODEL": str(self._folder / "model"), "8000": self._ports["TRIREME_ENGINE_PORT"]}
        argv = [sys.executable, str(self._folder / "runtime.pyz"), *(places.get(word, word) for word in pod["args"])]
        with (folder / "output").open("wb") as output:
            self.processes.append(subprocess.Popen(argv, env=environment, stdout=output, stderr=output))

    def ask(self, index: int, path: str) -> tuple[int, str]:
        return http(f"http://{self.addresses[index]}:{self._ports['TRIREME_LAUNCHER_PORT']}{path}")

    def ask_engine(self, index: int, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
        return http(f"http://{self.addresses[index]}:{self._ports['TRIREME_ENGINE_PORT']}{path}", body, timeout=120)

    def queue(self) -> list[str]:
        """What the leader says of its queue; on a busy machine an engine may be too late once for the launcher."""
        deadline = time.monotonic() + 30
        while True:
            lines = self.ask(0, "/metrics")[1].splitlines()
            found = [line for line in lines if line.startswith("inference_queue_length")]
            if found or time.monotonic() > deadline:
                return found
            time.sleep(0.5)

    def wait_ready(self) -> None:
        """Raises RuntimeError with the end of what each pod printed."""
        deadline = time.monotonic() + READY_SECONDS
        while not all(self.ask(index, "/readyz")[0] == 200 for index in range(len(self.processes))):
            ended = [index for index, process in enumerate(self.processes) if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                why = f"pods {ended} have ended" if ended else f"not ready within {READY_SECONDS:.0f} s"
                raise RuntimeError(why + "".join(self._tail(index) for index in range(len(self.processes))))
            time.sleep(0.5)

    def stop(self) -> list[int | None]:
        """SIGTERM to all, as when a group is deleted; their exit codes, None for one that had to be killed."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        codes: list[int | None] = []
        for process in self.processes:
            try:
                codes.append(process.wait(60))
            except subprocess.TimeoutExpired:
                codes.append(None)
        return codes

    def kill(self) -> None:
        for process in self.processes:
            for pid in [process.pid, *_descendants(process.pid)]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def _tail(self, index: int) -> str:
        lines = (self._folder / f"pod-{index}/output").read_text(errors="replace").splitlines()[-250:]
        return "\n".join([f"\n---- pod {index}", *lines])


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread may end between the listing and the reading
            for child in task.read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


def drive(plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The whole life of a group."""
    group = Group(plan, folder)
    began = time.monotonic()
    try:
        group.start()
        group.wait_ready()
        said = {"readySeconds": round(time.monotonic() - began, 1)}
        pods = [json.loads(group.ask(index, "/statusz")[1]) for index in range(len(group.addresses))]
        answers = []
        for index, pod in enumerate(pods):
            for number in range(plan["requests"] if pod["serves"] else 0):
                prompt = {"model": plan["name"], "prompt": f"row {number}", "max_tokens": 4, "temperature": 0}
                code, text = group.ask_engine(index, "/v1/completions", prompt | {"ignore_eos": True})
                answers.append({"pod": index, "code": code, "text": text})
        metrics = [group.ask_engine(index, "/metrics")[1] if pod["serves"] else "" for index, pod in enumerate(pods)]
        served = [
            line for text in metrics for line in text.splitlines() if line.startswith("vllm:request_success_total")
        ]
        queue = group.queue()
        began = time.monotonic()
        codes = group.stop()
        ended = {"exitCodes": codes, "stopSeconds": round(time.monotonic() - began, 1)}
        return {**said, **ended, "pods": pods, "answers": answers, "served": served, "queue": queue}
    finally:
        group.kill()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        sys.stdout.write(json.dumps(drive(json.loads(sys.argv[1]), Path(place))) + "\n")
