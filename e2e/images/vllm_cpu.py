#!/opt/vllm/bin/python3 -sE
"""The program ``vllm`` of the CPU image: vLLM itself, with the flags that a GPU does not need and a CPU does.

Pods are rendered for GPUs; tests run the very same arguments on a CPU. What the CPU needs besides is added
here, in front of the given arguments and only where they do not say it, so that what was given wins.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ENGINE = "/opt/vllm/bin/vllm"
KNOWN_MODELS = Path("/opt/vllm/modelinfos")
"""What vLLM keeps of model classes that it has looked at, made with the image: without it each start imports everything
in one more process.
"""

# Small, so that groups of several pods fit beside each other: 64 MiB are 2900 tokens of SmolLM2-135M.
_SIZES = {
    "--max-model-len": "512",
    "--max-num-seqs": "8",
    "--max-num-batched-tokens": "512",
    "--kv-cache-memory-bytes": "64M",
}
# Not --enforce-eager, which skips the warm-up; without that, pipeline stages fail on their first request.
_COMPILATION = ("-cc.mode=2", "-cc.backend=eager")
_COMPILATION_FLAGS = ("-cc", "-O", "--compilation-config", "--optimization-level", "--enforce-eager")
_WORLD_FLAGS = (
    ("--tensor-parallel-size", "-tp"),
    ("--pipeline-parallel-size", "-pp"),
    ("--data-parallel-size", "-dp"),
    ("--prefill-context-parallel-size", "-pcp"),
)


def with_cpu_flags(arguments: Sequence[str]) -> list[str]:
    """The arguments of ``vllm`` with those added to ``serve`` that a CPU needs; others stay as they are."""
    if not arguments or arguments[0] != "serve" or "--help" in arguments or "-h" in arguments:
        return list(arguments)
    given = [_name(argument) for argument in arguments]
    added = [word for flag, value in _SIZES.items() if flag not in given for word in (flag, value)]
    if not any(name.startswith(_COMPILATION_FLAGS) for name in given):
        added += _COMPILATION
    ranks = _ranks_here(arguments)
    if ranks > 1 and "--device-ids" not in given:
        # Several ranks on each of several nodes: the engine cannot count devices that are not there.
        added += ["--device-ids", ",".join(str(rank) for rank in range(ranks))]
    head = 2 if len(arguments) > 1 and not arguments[1].startswith("-") else 1
    return [*arguments[:head], *added, *arguments[head:]]


def _ranks_here(arguments: Sequence[str]) -> int:
    """How many ranks of a group that spans several nodes run on this one; 1 when there is one node only."""
    nodes = _number(arguments, ("--nnodes", "-n"))
    world = math.prod(_number(arguments, names) for names in _WORLD_FLAGS)
    return world // nodes if nodes > 1 else 1


def _number(arguments: Sequence[str], names: Sequence[str]) -> int:
    value = "1"
    for index, argument in enumerate(arguments):
        if _name(argument) in names:
            _, equals, after = argument.partition("=")
            value = after if equals else next(iter(arguments[index + 1 : index + 2]), "1")
    return int(value) if value.isdecimal() else 1


def _name(argument: str) -> str:
    """The flag's name as the engine's parser takes it: up to ``=``, with ``-`` for ``_``; "" for a value."""
    return argument.partition("=")[0].replace("_", "-") if argument.startswith("-") else ""


def fill_cache(cache: Path, known: Path = KNOWN_MODELS) -> None:
    """Put what is known of models into an engine's cache, where nothing is yet; without room for it, it is left out."""
    target = cache / "modelinfos"
    with contextlib.suppress(OSError):
        shutil.copytree(known, target)


def cache_root(variables: Mapping[str, str]) -> Path:
    """Where vLLM keeps its cache (vllm/envs.py, VLLM_CACHE_ROOT)."""
    home = variables.get("XDG_CACHE_HOME") or Path(variables.get("HOME", "/tmp"), ".cache")  # noqa: S108 - the image's HOME
    return Path(variables.get("VLLM_CACHE_ROOT") or Path(home, "vllm"))


if __name__ == "__main__":
    fill_cache(cache_root(os.environ))
    os.execv(ENGINE, [ENGINE, *with_cpu_flags(sys.argv[1:])])  # noqa: S606
