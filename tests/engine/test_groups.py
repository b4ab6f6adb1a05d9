"""Groups of real engines on loopback addresses, rendered by the operator, wired by the launcher, asked over HTTP.

``TRIREME_ENGINE_PYTHON`` names a Python that has vLLM for processors, for example scripts/engine-python. The models are
tiny and their weights random: it is the wiring that is tested. Every case runs on its own: a group takes 2 to 6 GB.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

import build_zipapp
from tests.unit.resources import cluster
from trireme_operator import rendering
from trireme_operator.planning import plan

pytestmark = [pytest.mark.engine, pytest.mark.timeout(480)]

_COMMON = {
    "hidden_size": 128,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "vocab_size": 320,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "bos_token_id": 0,
    "eos_token_id": 1,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
DENSE = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **_COMMON}
EXPERTS = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "sliding_window": None,
    **_COMMON,
}


def run(folder: Path, model: dict[str, Any], parallelism: dict[str, Any], per_pod: int, requests: int) -> Any:
    """What the driver says of a group with these sizes."""
    python = os.environ.get("TRIREME_ENGINE_PYTHON")
    assert python, "set TRIREME_ENGINE_PYTHON to the Python of an environment with vLLM for processors"
    resource = cluster(
        "tiny",
        model={"source": "/MODEL"},
        parallelism=parallelism,
        accelerator={"resource": "cpu", "perPod": per_pod},
    )
    planned = plan(resource)
    template = rendering.render_template(resource, planned, rendering.Settings("launcher:1"))
    containers = [template[kind]["spec"]["containers"][0] for kind in ("leaderTemplate", "workerTemplate")]
    archive = folder / "runtime.pyz"
    build_zipapp.build(archive)
    document = {
        "runtime": base64.b64encode(zlib.compress(archive.read_bytes())).decode(),
        "plugin": Path(__file__).with_name("cpu_experts.py").read_text(),
        "model": model,
        "name": "tiny",
        "requests": requests,
        "pods": [_pod(containers[min(index, 1)], index) for index in range(planned.geometry.pods)],
    }
    argv = [python, str(Path(__file__).with_name("drive.py")), json.dumps(document)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-60000:]
    return json.loads(done.stdout.splitlines()[-1])


def _pod(container: dict[str, Any], index: int) -> dict[str, Any]:
    """Command and environment of a pod; what the kubelet would fill in, and addresses, are the driver's."""
    filled = {"metadata.name": f"tiny-0-{index}", "metadata.namespace": "ns"}
    environment = {}
    for variable in container["env"]:
        field = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        environment[variable["name"]] = filled.get(field, "") if field else variable.get("value", "")
    return {"args": ["MODEL" if word == "/MODEL" else word for word in container["args"]], "env": environment}


def check(said: Any, *, serving: list[bool], requests: int) -> list[str]:
    """The texts of all answers, each complete; every launcher ended as after a drain."""
    assert [pod["serves"] for pod in said["pods"]] == serving
    assert [answer["code"] for answer in said["answers"]] == [200] * requests * sum(serving), said["answers"]
    answers = [json.loads(answer["text"]) for answer in said["answers"]]
    assert {answer["usage"]["completion_tokens"] for answer in answers} == {4}
    assert said["queue"] == ["inference_queue_length 0"]
    assert said["exitCodes"] == [0] * len(serving)
    return [answer["choices"][0]["text"] for answer in answers]


def replicas_that_answered(said: Any) -> set[str]:
    """The numbers of the data parallel ranks whose engines have finished a request."""
    finished = [line for line in said["served"] if float(line.rsplit(" ", 1)[1]) > 0]
    return {line.partition('engine="')[2].partition('"')[0] for line in finished}


def test_two_stages_of_two_ranks_over_two_pods(tmp_path: Path) -> None:
    said = run(tmp_path, DENSE, {"pipeline": 2, "tensor": 2}, 2, 2)
    texts = check(said, serving=[True, False], requests=2)
    assert all(texts)
    places = [[(rank["pipeline"], rank["tensor"]) for rank in pod["ranks"]] for pod in said["pods"]]
    assert places == [[(0, 0), (0, 1)], [(1, 0), (1, 1)]]


def test_two_replicas_of_a_dense_model_behind_one_leader(tmp_path: Path) -> None:
    said = run(tmp_path, DENSE, {"data": 2}, 1, 6)
    check(said, serving=[True, False], requests=6)
    assert replicas_that_answered(said) == {"0", "1"}


def test_experts_over_two_pods_that_both_serve(tmp_path: Path) -> None:
    said = run(tmp_path, EXPERTS, {"data": 2, "expert": True, "loadBalancing": "External"}, 1, 2)
    texts = check(said, serving=[True, True], requests=2)
    assert texts[:2] == texts[2:], "both pods hold the same model"
    assert replicas_that_answered(said) == {"0", "1"}
