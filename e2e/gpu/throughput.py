"""Tokens a second of the launcher's engine against bare vLLM's: both on the same devices at once, asked in turns.

The one that is not asked has nothing to do, which costs the other nothing on the device. So a layout needs one start of
each, and what the machine does at the moment hits both sides alike.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, Final

from e2e.gpu import memory, processes
from e2e.gpu.bare import Bare
from e2e.gpu.machine import Machine
from e2e.gpu.pods import READY_SECONDS, Group, resource
from e2e.gpu.shapes import Layout

Obj = dict[str, Any]

LIMIT: Final = 0.99
_PERCENT: Final = 45
_BARE_SHARE: Final = "0.40"
_ORDER: Final = "LBBL"
_KEPT: Final = (
    "output_throughput",
    "request_throughput",
    "median_ttft_ms",
    "median_tpot_ms",
    "completed",
    "failed",
    "duration",
)


class Bench:
    """The client: a process that has imported ``vllm bench serve`` once."""

    def __init__(self, folder: Path, model: Path, *, rehearsal: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._model = model
        self._sizes = ("32", "16") if rehearsal else ("512", "128")
        with (folder / "errors").open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "e2e.gpu.rounds"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._number = 0

    def wait(self) -> None:
        """Until it can be asked."""
        self._answer()

    def measure(self, address: str, port: int, prompts: int) -> Obj:
        """One round; raises RuntimeError when it fails."""
        self._number += 1
        name = f"round-{self._number}.json"
        length, answer = self._sizes
        words = ["--backend", "openai", "--base-url", f"http://{address}:{port}", "--model", str(self._model)]
        words += ["--served-model-name", "m", "--tokenizer", str(self._model), "--dataset-name", "random"]
        words += ["--random-input-len", length, "--random-output-len", answer, "--num-prompts", str(prompts)]
        words += ["--seed", str(self._number), "--ignore-eos", "--request-rate", "inf", "--disable-tqdm"]
        words += ["--save-result", "--result-dir", str(self._folder), "--result-filename", name]
        print(json.dumps(words), file=self._stdin, flush=True)
        said = self._answer()
        if said != "done":
            raise RuntimeError(f"vllm bench serve: {said}")
        found = json.loads((self._folder / name).read_text())
        return {key: found[key] for key in _KEPT if key in found}

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None  # noqa: S101  (it was asked for)
        return self._process.stdin

    def _answer(self) -> str:
        assert self._process.stdout is not None  # noqa: S101
        for line in self._process.stdout:
            if line.startswith("@"):
                return line[1:].strip()
        raise RuntimeError("vllm bench serve ended: " + (self._folder / "errors").read_text(errors="replace")[-2000:])

    def close(self) -> None:
        self._process.kill()
        self._process.wait(30)


def compare(layout: Layout, machine: Machine, model: Path, *, prompts: int, times: int) -> Obj:
    """One layout: starts, rounds in turns, and what the engine and the launcher said of memory meanwhile."""
    folder = machine.folder / layout.name
    cluster = resource(layout, machine, model, engine={"config": {"gpuMemoryPercent": _PERCENT}})
    group = Group(layout, machine, cluster, network=31, folder=folder / "launcher")
    bench = Bench(folder / "bench", model, rehearsal=machine.rehearsal)
    bare: list[Bare] = []
    try:
        group.start()
        started = time.monotonic()

        def start_bare() -> None:
            """When the launcher's engine has looked how much memory is free."""
            room = memory.room_reported(group)
            if not bare and (room is not None or machine.rehearsal):
                homes = [group.folder(index) / "home" for index in range(layout.pods)]
                settings = _settings(machine, room)
                bare.append(Bare(layout, machine, folder / "bare", network=32, settings=settings, homes=homes))
                bare[0].start(model)

        launcher_ready = group.wait_ready(poll=start_bare)
        start_bare()
        bare_ready = bare[0].wait_ready(limit=READY_SECONDS)
        bench.wait()
        sides = {"L": (group.addresses[0], group.engine_port), "B": (bare[0].addresses[0], bare[0].port)}
        for address in sides.values():
            bench.measure(*address, max(2, prompts // 4))
        measured: dict[str, list[Obj]] = {"L": [], "B": []}
        samples: list[str] = []
        for side in _ORDER * times:
            measured[side].append(bench.measure(*sides[side], prompts))
            samples += _accelerator_lines(group) if side == "L" and not samples else []
        return {
            **_judged(measured),
            "prompts": prompts,
            "launcher_ready_seconds": round(launcher_ready, 1),
            "bare_ready_seconds": round(bare_ready, 1),
            "starts_and_rounds_seconds": round(time.monotonic() - started, 1),
            "launcher": measured["L"],
            "bare": measured["B"],
            "memory": memory.compare(cluster, model, group, machine),
            "accelerator_metrics": samples,
            "launcher_resident_bytes": [processes.resident_bytes(each.pid) for each in group.processes],
            "command": json.loads(group.ask(0, "/statusz")[1])["command"],
        }
    finally:
        bench.close()
        for each in bare:
            each.kill()
        group.kill()


def _settings(machine: Machine, room: int | None) -> list[str]:
    """The flags of both sides that are not the layout's. The bare engine gets as much cache as the other one has."""
    if machine.rehearsal:
        words = ["--max-model-len", "1024", "--max-num-seqs", "8", "--max-num-batched-tokens", "1024"]
        return [*words, "--load-format", "dummy", "--kv-cache-memory-bytes", "16M", "-cc.mode=2", "-cc.backend=eager"]
    words = ["--max-model-len", "4096", "--gpu-memory-utilization", _BARE_SHARE, "--load-format", "dummy"]
    return words if room is None else [*words, "--kv-cache-memory-bytes", str(room)]


def _judged(measured: dict[str, list[Obj]]) -> Obj:
    medians = {side: statistics.median(each["output_throughput"] for each in found) for side, found in measured.items()}
    ratio = medians["L"] / medians["B"]
    latencies = {
        f"{name}_ratio": round(
            statistics.median(each[key] for each in measured["L"])
            / statistics.median(each[key] for each in measured["B"]),
            4,
        )
        for name, key in (("ttft", "median_ttft_ms"), ("tpot", "median_tpot_ms"))
    }
    return {
        "throughput_ratio": round(ratio, 4),
        "passed": ratio >= LIMIT,
        "limit": LIMIT,
        "launcher_tokens_per_second": round(medians["L"], 1),
        "bare_tokens_per_second": round(medians["B"], 1),
        **latencies,
    }


def _accelerator_lines(group: Group) -> list[str]:
    """What each launcher says of its devices, a moment after the load."""
    found = []
    for index in range(group.layout.pods):
        text = group.ask(index, "/metrics")[1]
        found += [line for line in text.splitlines() if re.match(r"trireme_launcher_accelerator_", line)]
    return found
