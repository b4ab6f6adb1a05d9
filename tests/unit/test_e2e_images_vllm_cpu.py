"""What the CPU image's ``vllm`` adds to a command line that was written for GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.images.vllm_cpu import cache_root, fill_cache, with_cpu_flags

SIZES = "--max-model-len 512 --max-num-seqs 8 --max-num-batched-tokens 512 --kv-cache-memory-bytes 64M"
EAGER = "-cc.mode=2 -cc.backend=eager"


@pytest.mark.parametrize(
    ("given", "want"),
    [
        pytest.param("serve /m", f"serve /m {SIZES} {EAGER}", id="nothing given"),
        pytest.param("serve --port 1", f"serve {SIZES} {EAGER} --port 1", id="no model in front"),
        pytest.param(
            "serve /m --max-model-len 64 --max_num_seqs=2",
            f"serve /m --max-num-batched-tokens 512 --kv-cache-memory-bytes 64M {EAGER} "
            "--max-model-len 64 --max_num_seqs=2",
            id="what is given is not added, in either spelling",
        ),
        pytest.param("serve /m --enforce-eager", f"serve /m {SIZES} --enforce-eager", id="eager asked for"),
        pytest.param("serve /m -O3", f"serve /m {SIZES} -O3", id="an optimization level asked for"),
        pytest.param("serve /m -cc.mode=0", f"serve /m {SIZES} -cc.mode=0", id="a compilation mode asked for"),
        pytest.param(
            "serve /m --nnodes 2 -tp 2 -pp=2",
            f"serve /m {SIZES} {EAGER} --device-ids 0,1 --nnodes 2 -tp 2 -pp=2",
            id="two ranks on each of two nodes",
        ),
        pytest.param(
            "serve /m --nnodes 2 --pipeline-parallel-size 2",
            f"serve /m {SIZES} {EAGER} --nnodes 2 --pipeline-parallel-size 2",
            id="one rank on each of two nodes",
        ),
        pytest.param("serve /m -tp 2", f"serve /m {SIZES} {EAGER} -tp 2", id="two ranks on one node"),
        pytest.param(
            "serve /m --nnodes 2 -tp 4 --device-ids 2,3",
            f"serve /m {SIZES} {EAGER} --nnodes 2 -tp 4 --device-ids 2,3",
            id="devices chosen",
        ),
        pytest.param("serve --help", "serve --help", id="help"),
        pytest.param("bench serve --model m", "bench serve --model m", id="another command"),
        pytest.param("--version", "--version", id="no command"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_flags(given: str, want: str) -> None:
    assert with_cpu_flags(given.split()) == want.split()


def test_a_value_that_looks_like_a_flag_of_ours_is_a_value() -> None:
    arguments = ["serve", "/m", "--served-model-name", "max-model-len"]
    assert with_cpu_flags(arguments).count("--max-model-len") == 1


@pytest.mark.parametrize(
    ("variables", "want"),
    [
        pytest.param({"HOME": "/home/x"}, "/home/x/.cache/vllm", id="the home"),
        pytest.param({"HOME": "/home/x", "XDG_CACHE_HOME": "/c"}, "/c/vllm", id="the cache of everything"),
        pytest.param({"HOME": "/home/x", "VLLM_CACHE_ROOT": "/v"}, "/v", id="a cache of its own"),
    ],
)
def test_the_cache_is_where_vllm_has_it(variables: dict[str, str], want: str) -> None:
    assert cache_root(variables) == Path(want)


def test_what_is_known_of_models_is_put_into_an_empty_cache_and_nowhere_else(tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.mkdir()
    (known / "llama.json").write_text("new")
    fill_cache(tmp_path / "cache", known)
    assert (tmp_path / "cache/modelinfos/llama.json").read_text() == "new"

    (tmp_path / "cache/modelinfos/llama.json").write_text("the engine's own")
    fill_cache(tmp_path / "cache", known)
    fill_cache(tmp_path / "elsewhere", tmp_path / "an image without")
    assert (tmp_path / "cache/modelinfos/llama.json").read_text() == "the engine's own"
