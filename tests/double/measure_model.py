"""Loads models with the real vLLM and prints what their ranks hold; run by a Python that has vLLM.

    python measure_model.py '[{"model": "/models/SmolLM2", "tensor": 3, "pipeline": 1, "kvBytes": 1048576}]'

With ``config``, the text of a config.json, in place of ``model``, the weights are random. For each model one line
begins with ``held:`` and goes on with JSON: a list with one object a rank, ``weights`` in bytes, and the ``tokens`` and
``bytes`` of its KV cache.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process less: what schedules is not what holds
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
}


def held(worker: Any) -> dict[str, int]:
    """What a rank holds; runs inside the rank. A tensor that two names share counts once.

    On a processor vLLM packs the weights of linear layers into buffers of its own after loading; those layers are
    counted by the size that they were made with.
    """
    runner = worker.model_runner
    size, seen = 0, set()
    for module in runner.model.modules():
        if hasattr(module, "input_size") and module.weight.numel() == 0:
            inputs = getattr(module, "input_size_per_partition", module.input_size)
            outputs = getattr(module, "output_size_per_partition", module.output_size)
            size += inputs * outputs * module.weight.element_size()
        for tensor in module.parameters(recurse=False):
            if tensor.numel() and tensor.data_ptr() not in seen:
                seen.add(tensor.data_ptr())
                size += tensor.numel() * tensor.element_size()
    caches = {cache.data_ptr(): cache for cache in runner.kv_caches}
    groups = runner.kv_cache_config.kv_cache_groups
    return {
        "weights": size,
        "tokens": runner.kv_cache_config.num_blocks * groups[0].kv_cache_spec.block_size,
        "bytes": sum(cache.numel() * cache.element_size() for cache in caches.values()),
    }


def measure(vllm: Any, asked: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # What the image knows of model classes: without it each engine imports everything in one more process.
        with contextlib.suppress(OSError):
            shutil.copytree("/opt/vllm/modelinfos", Path.home() / ".cache/vllm/modelinfos", dirs_exist_ok=True)
        if "config" in asked:
            (Path(folder) / "config.json").write_text(asked["config"])
        config = vllm.EngineArgs(
            model=asked.get("model", folder),
            load_format="dummy" if "config" in asked else "auto",
            skip_tokenizer_init=True,
            tensor_parallel_size=asked["tensor"],
            pipeline_parallel_size=asked["pipeline"],
            distributed_executor_backend="mp",
            kv_cache_memory_bytes=asked["kvBytes"],
            max_model_len=512,
            max_num_seqs=8,
            max_num_batched_tokens=512,
            enforce_eager=True,
        ).create_engine_config()
        # A processor's config asks for ranks that import everything anew, which is most of a short life.
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"
        engine = vllm.LLMEngine.from_vllm_config(config)
        sys.stdout.write(f"\nheld: {json.dumps(engine.collective_rpc(held))}\n")
        sys.stdout.flush()
        engine.engine_core.shutdown()
    # What was asked for is said. Left to itself a process with ranks may wait for one of its own threads for ever.
    os._exit(0)


def main() -> None:
    """Each model in a process of its own, as an engine leaves its memory to the end of its process."""
    vllm = importlib.import_module("vllm")  # not above: it reads the environment when it is imported
    assert vllm.EngineArgs, vllm.LLMEngine  # imported when they are first asked for: once, before the forks
    fork = multiprocessing.get_context("fork")
    for asked in json.loads(sys.argv[1]):
        process = fork.Process(target=measure, args=(vllm, asked))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(process.exitcode)


if __name__ == "__main__":
    main()
