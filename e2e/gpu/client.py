"""The client of the throughput measurement: a process that has imported ``vllm bench serve`` once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any, Final

Obj = dict[str, Any]

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
    """Asks one address after the other, on ``processors`` of its own where there are some: it is one busy thread."""

    def __init__(self, folder: Path, model: Path, *, rehearsal: bool, processors: Collection[int] = ()) -> None:
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
        if processors:
            os.sched_setaffinity(self._process.pid, processors)
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
