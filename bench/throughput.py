"""What the launcher costs on the data path: tokens a second of vLLM with and without it, in alternating pairs."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

import build_zipapp
from bench import report
from bench.pairs import ratio_of
from e2e import stack
from e2e.cluster import choose
from trireme_operator import rendering
from trireme_operator.api import parse
from trireme_operator.planning import plan

RESULTS = Path(__file__).parent / "results" / "launcher.json"
FULL_PAIRS = 10
LIMIT = 0.99
"""The least ratio, which is judged on GPUs: on processors the engine and everything else share the cores."""

_DRIVE = Path(__file__).with_name("throughput_drive.py")
_SAMPLE = stack.REPOSITORY / "samples" / "smollm2-pp2.yaml"
_REQUESTS, _TOKENS, _AT_ONCE = 48, 32, 8
_MEMORY_PERCENT = 25


def measure(pairs: int) -> dict[str, Any]:
    """The entry for ``launcher.json``. Starts the cluster where TRIREME_ENGINE_PYTHON names no engine of its own.

    Raises RuntimeError with the end of what the engine said when it fails.
    """
    python = os.environ.get("TRIREME_ENGINE_PYTHON", "")
    if not python:
        cluster = choose()
        cluster.up()
        stack.load(cluster, "engine-cpu", nodes=stack.ENGINE_NODES)
        python = str(stack.REPOSITORY / "scripts" / "engine-python")
    argv = [python, str(_DRIVE), json.dumps(_plan(pairs))]
    before = os.getloadavg()[0]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the engine's side ended with status {done.returncode}; it said why above")
    said = json.loads(done.stdout.splitlines()[-1])
    return entry(said["pairs"], load=(before, said["load"]))


def entry(pairs: Sequence[dict[str, Any]], *, load: tuple[float, float]) -> dict[str, Any]:
    """What is kept of the pairs."""
    found = ratio_of([pair["launched"] for pair in pairs], [pair["alone"] for pair in pairs])
    return {
        "what": "tokens a second under the launcher / alone",
        "ratio": round(found.value, 4),
        "confidence_95": [round(found.low, 4), round(found.high, 4)],
        "limit": LIMIT,
        "judged": "on GPUs",
        "full": len(pairs) >= FULL_PAIRS,
        "pairs": list(pairs),
        "work": {"model": "SmolLM2-135M-Instruct", "requests": _REQUESTS, "tokens": _TOKENS, "at_once": _AT_ONCE},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": report.revision(),
        "machine": report.machine(),
        "load": {"before": round(load[0], 2), "after": round(load[1], 2)},
    }


def keep(found: dict[str, Any], file: Path = RESULTS) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=2) + "\n")


def _plan(pairs: int) -> dict[str, Any]:
    """The sample with one rank, rendered as the operator renders it."""
    document = yaml.safe_load(_SAMPLE.read_text())
    document["spec"]["parallelism"] = {}
    # A share of the machine's memory where the pod has no limit of its own, and it must be free at the start. The image
    # has tracing of models switched off, without which a single rank starts only as eager.
    document["spec"]["engine"]["config"] |= {"gpuMemoryPercent": _MEMORY_PERCENT, "enforceEager": True}
    resource = parse(document)
    template = rendering.render_template(resource, plan(resource), rendering.Settings("launcher:1"))
    pod = template.get("leaderTemplate") or template["workerTemplate"]
    container = next(each for each in pod["spec"]["containers"] if each["name"] == "engine")
    filled = {"metadata.name": "bench-0", "metadata.namespace": "bench"}
    environment = {}
    for variable in container["env"]:
        field = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        environment[variable["name"]] = filled.get(field, "") if field else variable.get("value", "")
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "runtime.pyz"
        build_zipapp.build(archive)
        runtime = base64.b64encode(zlib.compress(archive.read_bytes())).decode()
    sizes = {"pairs": pairs, "requests": _REQUESTS, "tokens": _TOKENS, "at_once": _AT_ONCE}
    return {"runtime": runtime, "env": environment, "args": container["args"], "name": resource.metadata.name, **sizes}
