"""The engine's command line in each pod of each shape of a group, and what each supported vLLM reads from it.

From the resource to the argument list the way is the real one: rendered by the operator, with ``$`` as the kubelet
leaves it, finished by the launcher from the pod's environment. What is read is said by the parser that
``tests/engine_options/<version>.json`` describes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.double import flags
from trireme_operator import rendering
from trireme_operator.api import parse
from trireme_operator.planning import plan
from trireme_runtime import command, environment, limits

Obj = dict[str, Any]

FOLDER = Path(__file__).parent / "engine-commands"
OPTIONS = Path(__file__).parents[1] / "engine_options"
VERSIONS = sorted(path.stem for path in OPTIONS.glob("*.json"))

_MOE = "hf://Qwen/Qwen3-30B-A3B"
LAYOUTS: dict[str, Obj] = {
    "one-rank": {},
    "tensor": {"parallelism": {"tensor": 8}},
    "tensor-over-pods": {"parallelism": {"tensor": 16}, "accelerator": {"perPod": 8}},
    "pipeline": {"parallelism": {"pipeline": 2}},
    "pipeline-in-a-pod": {"parallelism": {"pipeline": 4}, "accelerator": {"perPod": 2}},
    "tensor-and-pipeline": {"parallelism": {"tensor": 8, "pipeline": 2}},
    "tensor-and-pipeline-over-pods": {"parallelism": {"tensor": 8, "pipeline": 2}, "accelerator": {"perPod": 4}},
    "data-in-a-pod": {"parallelism": {"data": 4}, "accelerator": {"perPod": 4}},
    "data-internal": {"parallelism": {"tensor": 8, "data": 2}},
    "data-internal-two-a-pod": {"parallelism": {"tensor": 2, "data": 4}, "accelerator": {"perPod": 4}},
    "data-over-pods": {"parallelism": {"tensor": 4, "pipeline": 2, "data": 2}},
    "data-hybrid": {
        "parallelism": {"tensor": 2, "data": 4, "loadBalancing": "Hybrid"},
        "accelerator": {"perPod": 4},
    },
    "data-external": {"parallelism": {"tensor": 8, "data": 2, "loadBalancing": "External"}},
    "experts-in-a-pod": {"model": {"source": _MOE}, "parallelism": {"tensor": 8, "expert": True}},
    "experts-over-pods": {
        "model": {"source": _MOE},
        "parallelism": {"data": 16, "expert": True},
        "accelerator": {"perPod": 8},
    },
    "experts-hybrid": {
        "model": {"source": _MOE},
        "parallelism": {"data": 16, "expert": True, "loadBalancing": "Hybrid"},
        "accelerator": {"perPod": 8},
    },
    "experts-external": {
        "model": {"source": _MOE},
        "parallelism": {"tensor": 8, "data": 2, "expert": True, "loadBalancing": "External"},
    },
    "settings-on": {
        "parallelism": {"tensor": 2, "pipeline": 2},
        "engine": {
            "config": {
                "maxModelLen": 8192,
                "gpuMemoryPercent": 92,
                "maxNumSeqs": 256,
                "maxNumBatchedTokens": 8192,
                "dtype": "bfloat16",
                "quantization": "fp8",
                "kvCacheDtype": "fp8",
                "enablePrefixCaching": True,
                "enforceEager": True,
                "trustRemoteCode": True,
            },
            "extraArgs": ["--async-scheduling", "--chat-template", "$(HF_TOKEN); `id` 'x\n\"y"],
        },
    },
    "settings-off": {
        "engine": {
            "profile": "production",
            "config": {"enablePrefixCaching": False, "enforceEager": False, "trustRemoteCode": False},
        },
    },
    "object-store": {"model": {"source": "s3://models/llama"}, "parallelism": {"pipeline": 2}},
    "revision-of-the-hub": {"model": {"source": "hf://org/name@v1.0", "servedName": "a name"}},
    "ipv6": {"parallelism": {"pipeline": 2}},
}
"""The part of the spec that makes each shape."""

_IPV6 = frozenset({"ipv6"})


def pods(layout: str) -> list[list[str]]:
    """The argument list of every pod of a group, the leader's first."""
    spec = {"model": {"source": "hf://meta-llama/Llama-3.1-8B-Instruct"}} | LAYOUTS[layout]
    meta = {"name": "llm", "namespace": "genai", "uid": "0b7c", "generation": 1}
    resource = parse({"apiVersion": "trireme.dev/v1alpha1", "kind": "InferenceCluster", "metadata": meta, "spec": spec})
    planned = plan(resource)
    template = rendering.render_template(resource, planned, rendering.Settings("runtime:1"))
    return [_argv(template, index, planned.geometry.pods, ipv6=layout in _IPV6) for index in range(template["size"])]


def _argv(template: Obj, index: int, size: int, *, ipv6: bool) -> list[str]:
    pod = template["workerTemplate" if index else "leaderTemplate"]["spec"]
    (engine,) = [each for each in pod["containers"] if each["name"] == "engine"]
    name = "llm-0" + (f"-{index}" if index else "")
    known = {
        "metadata.name": name,
        "metadata.namespace": "genai",
        "metadata.uid": f"uid-{index}",
        "status.podIP": f"fd00:10::{index + 1:x}" if ipv6 else f"10.0.0.{index + 1}",
    }
    variables = {"LWS_LEADER_ADDRESS": "llm-0.llm.genai", "LWS_GROUP_SIZE": str(size), "LWS_WORKER_INDEX": str(index)}
    for variable in engine["env"]:
        source = variable.get("valueFrom", {}).get("fieldRef")
        variables[variable["name"]] = known.get(source["fieldPath"], "x") if source else variable.get("value", "")
    read = environment.parse(variables)
    times = limits.of_grace(grace_seconds=read.grace_seconds, settle_seconds=read.settle_seconds)
    return command.engine_command([word.replace("$$", "$") for word in engine["args"]], read, times)


def document(version: str, layout: str) -> Obj:
    """What the golden file of a layout holds for a version."""
    options = OPTIONS / f"{version}.json"
    return {
        "engine": json.loads(options.read_text())["source"],
        "pods": [{"argv": argv, "reads": flags.given(argv[1:], options)} for argv in pods(layout)],
    }


def path(version: str, layout: str) -> Path:
    return FOLDER / version / f"{layout}.json"


def text(version: str, layout: str) -> str:
    return json.dumps(document(version, layout), indent=1) + "\n"


def rewrite() -> list[Path]:
    """Write every file anew; those that changed."""
    changed = []
    for version in VERSIONS:
        for layout in LAYOUTS:
            target, new = path(version, layout), text(version, layout)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists() or target.read_text() != new:
                target.write_text(new)
                changed.append(target)
    return changed
