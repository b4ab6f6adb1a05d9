"""How much of a model has arrived: files that grow as huggingface_hub makes them, and a clock that the test moves."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.pods import DOUBLE, Group, until
from trireme_runtime import arrival, hub
from trireme_runtime.arrival import LEAST_BYTES, QUIET_SECONDS, Arrival, Progress, repository

MB = 1_000_000
SERVE = ["vllm", "serve", "org/model-1.5b"]


class Cache:
    """The directory that a fetch fills, once a second."""

    def __init__(self, directory: Path, sizes: Mapping[str, int] | Exception | None = None) -> None:
        self.directory = directory
        self.asked = 0
        self.now = 100.0
        self.arrival = Arrival(directory, lambda: self._answer(sizes))

    def _answer(self, sizes: Mapping[str, int] | Exception | None) -> Mapping[str, int]:
        self.asked += 1
        if isinstance(sizes, Exception):
            raise sizes
        return sizes or {}

    def write(self, name: str, megabytes: int) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / name).write_bytes(b"x" * (megabytes * MB))

    def finish(self, name: str, etag: str) -> None:
        (self.directory / name).rename(self.directory / etag)

    def look(self, seconds: float = 1.0) -> Progress | None:
        self.now += seconds
        self.arrival.look(self.now)
        return self.arrival.progress(self.now)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "blobs", {"one": 20 * MB, "two": 10 * MB})


def test_bytes_that_arrive_are_a_fetch_and_files_that_lie_there_are_none(cache: Cache) -> None:
    cache.write("other", 30)
    assert cache.look() is None
    assert cache.look() is None
    cache.write("one.1a2b3c4d.incomplete", 12)
    assert cache.look() == Progress(12 * MB, 30 * MB)
    assert cache.asked == 1
    cache.finish("one.1a2b3c4d.incomplete", "one")
    cache.write("one", 20)
    cache.write("two.incomplete", 5)
    assert cache.look() == Progress(25 * MB, 30 * MB)
    assert cache.asked == 1, "once is enough"


def test_a_fetch_goes_on_while_a_file_is_unfinished_and_ends_soon_after_the_last(cache: Cache) -> None:
    cache.look()
    cache.write("one.x.incomplete", 12)
    cache.look()
    assert cache.look(600) == Progress(12 * MB, 30 * MB), "the network hangs"
    cache.write("one.x.incomplete", 20)
    cache.finish("one.x.incomplete", "one")
    assert cache.look() is not None
    assert cache.look(QUIET_SECONDS - 1) is not None
    assert cache.look(1) is None
    assert cache.arrival.latest == Progress(20 * MB, 30 * MB), "what arrived is still known"


def test_a_file_that_another_start_left_unfinished_is_no_fetch(cache: Cache) -> None:
    cache.write("one.dead.incomplete", 15)
    cache.look()
    assert cache.look() is None
    cache.write("one.live.incomplete", 10)
    assert cache.look() == Progress(15 * MB, 30 * MB), "the better part of a file counts"
    cache.write("one.live.incomplete", 20)
    cache.finish("one.live.incomplete", "one")
    cache.look()
    assert cache.look(QUIET_SECONDS) is None


def test_a_tokenizer_is_no_fetch_and_the_hub_is_not_asked(cache: Cache) -> None:
    cache.look()
    cache.write("tokenizer", (LEAST_BYTES - 1) // MB)
    assert cache.look() is None
    assert cache.asked == 0


@pytest.mark.parametrize("error", [OSError("no route"), ValueError("no list")])
def test_without_the_hub_there_is_no_total(tmp_path: Path, error: Exception) -> None:
    cache = Cache(tmp_path, error)
    cache.look()
    cache.write("one.incomplete", 9)
    assert cache.look() == Progress(9 * MB, None)
    cache.write("one.incomplete", 11)
    assert cache.look() == Progress(11 * MB, None)
    assert cache.asked == 1, "offline it is not asked again"


def test_what_is_written_counts_and_not_the_holes(tmp_path: Path) -> None:
    cache = Cache(tmp_path, OSError("offline"))
    cache.look()
    with (tmp_path / "one.incomplete").open("wb") as file:
        file.write(b"x" * 9 * MB)
        file.truncate(50 * MB)
    found = cache.look()
    assert found is not None
    assert 9 * MB <= found.done < 10 * MB


def test_when_the_engine_has_its_weights_nothing_is_fetched(cache: Cache) -> None:
    cache.look()
    cache.write("one.incomplete", 9)
    assert cache.look() is not None
    cache.arrival.finish()
    assert cache.arrival.progress(cache.now) is None


HOME = {"HOME": "/home/trireme"}


@pytest.mark.parametrize(
    ("more", "variables", "want"),
    [
        pytest.param([], HOME, "/home/trireme/.cache/huggingface/hub", id="the default"),
        pytest.param([], HOME | {"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub", id="XDG"),
        pytest.param([], HOME | {"HF_HOME": "/hf"}, "/hf/hub", id="HF_HOME"),
        pytest.param([], HOME | {"HF_HOME": "/hf", "HF_HUB_CACHE": "/mnt/cache"}, "/mnt/cache", id="a claim"),
        pytest.param(["--download-dir", "/d"], HOME | {"HF_HUB_CACHE": "/mnt/cache"}, "/d", id="vLLM's own"),
        pytest.param(["--download_dir=/d"], HOME, "/d", id="in one word"),
    ],
)
def test_the_cache_is_where_the_engine_puts_it(more: list[str], variables: dict[str, str], want: str) -> None:
    found = repository([*SERVE, *more, "--revision", "abc"], variables)
    assert found is not None
    assert (found.name, found.revision) == ("org/model-1.5b", "abc")
    assert found.directory == Path(want) / "models--org--model-1.5b"


@pytest.mark.parametrize(
    "source", ["/models/m", "s3://bucket/m", "gs://bucket/m", "/mnt/model/a", "tiny", "tests/unit"]
)
def test_other_sources_fetch_nothing_here(source: str) -> None:
    assert repository(["vllm", "serve", source], HOME) is None


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_an_engine_that_may_not_ask_the_hub_is_not_watched(name: str) -> None:
    assert repository(SERVE, HOME | {name: "1"}) is None
    assert repository(SERVE, HOME | {name: "0"}) is not None
    assert repository(["vllm"], HOME) is None


def listed(*paths: str, large: bool = True) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = []
    for number, path in enumerate(paths):
        entry: dict[str, Any] = {"type": "file", "path": path, "oid": f"git{number}", "size": number + 1}
        files.append(entry | ({"lfs": {"oid": f"sha{number}", "size": number + 1}} if large else {}))
    return files


@pytest.mark.parametrize(
    ("paths", "want"),
    [
        pytest.param(["README.md", "model.safetensors", "pytorch_model.bin"], {"sha1": 2}, id="safetensors first"),
        pytest.param(["model-1.safetensors", "model-2.safetensors"], {"sha0": 1, "sha1": 2}, id="shards"),
        pytest.param(["consolidated.safetensors", "model-1.safetensors"], {"sha0": 1}, id="Mistral's own"),
        pytest.param(["weights.safetensors", "original/model.safetensors"], {"sha0": 1}, id="not below"),
        pytest.param(["pytorch_model.bin", "a.pt"], {"sha0": 1}, id="pickled"),
        pytest.param(["README.md"], {}, id="none"),
    ],
)
def test_the_weights_are_those_that_vllm_takes(paths: list[str], want: dict[str, int]) -> None:
    assert arrival.weights([{"type": "directory", "path": "original"}, *listed(*paths)]) == want


def test_a_small_file_is_named_by_git_and_a_list_that_is_none_is_refused() -> None:
    assert arrival.weights(listed("model.safetensors", large=False)) == {"git0": 1}
    with pytest.raises(ValueError, match="list of files"):
        arrival.weights([{"type": "file", "path": "model.safetensors", "size": "big"}])


@contextmanager
def a_hub(answer: bytes, code: int = 200) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    asked: list[tuple[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization", "")))
            self.send_response(code)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_hub_is_asked_with_the_token_of_the_pod() -> None:
    files = listed("model.safetensors")
    with a_hub(json.dumps(files).encode()) as (endpoint, asked):
        assert hub.files("org/m", "refs/pr/1", {"HF_ENDPOINT": endpoint, "HF_TOKEN": "t"}) == files
        assert hub.files("org/m", "main", {"HF_ENDPOINT": endpoint}) == files
    assert asked == [("/api/models/org/m/tree/refs%2Fpr%2F1", "Bearer t"), ("/api/models/org/m/tree/main", "")]


@pytest.mark.parametrize(("answer", "code"), [(b"{}", 200), (b"<html>", 200), (b"", 404), (b"", 307)])
def test_a_hub_that_gives_no_list_is_an_error_and_a_redirect_is_not_followed(answer: bytes, code: int) -> None:
    with a_hub(answer, code) as (endpoint, asked):
        with pytest.raises((OSError, ValueError)):
            hub.files("org/m", "main", {"HF_ENDPOINT": endpoint, "HF_TOKEN": "t"})
        assert len(asked) == 1


def test_a_strange_endpoint_is_not_opened() -> None:
    with pytest.raises(ValueError, match="HF_ENDPOINT"):
        hub.files("org/m", "main", {"HF_ENDPOINT": "file:///etc"})


ENGINE = """#!/bin/sh
blobs="$HF_HUB_CACHE/models--org--tiny/blobs"
mkdir -p "$blobs"
for part in 1 2 3; do
    head -c 10000000 /dev/zero >> "$blobs/sha0.a1b2c3d4.incomplete"
    sleep 1.2
done
mv "$blobs/sha0.a1b2c3d4.incomplete" "$blobs/sha0"
shift 2
exec {double} "$@"
"""


def test_a_pod_that_fetches_says_so_with_its_bytes_and_is_ready_after_it(tmp_path: Path) -> None:
    """A real launcher; in vLLM's place a program that first fills the cache as huggingface_hub does."""
    engine = tmp_path / "vllm"
    engine.write_text(ENGINE.format(double=" ".join(DOUBLE)))
    engine.chmod(0o755)
    files = [{**listed("model.safetensors")[0], "lfs": {"oid": "sha0", "size": 30 * MB}, "size": 30 * MB}]
    group = Group(tmp_path)
    group.size = 1
    with a_hub(json.dumps(files).encode()) as (endpoint, _):
        variables = {"HF_HUB_CACHE": str(tmp_path / "cache"), "HF_ENDPOINT": endpoint}
        served = ("--host", group.address(0), "--port", str(group.engine_port))
        try:
            pod = group.start(command=(str(engine), "serve", "org/tiny", *served), variables=variables)
            until(lambda: pod.stage() == "Fetching", "the model arrives")
            total = 'trireme_launcher_stage_total_bytes{stage="Fetching"} 30000000'
            until(lambda: total in pod.ask("/metrics")[1], "the Hub has said how much it is")
            until(pod.is_ready, "the group serves")
            stages = pod.status()["stages"]
        finally:
            group.stop()
    assert [each["stage"] for each in stages] == ["Waiting", "Loading", "Fetching", "Ready"]
    assert (stages[2]["bytes"], stages[2]["totalBytes"]) == (30 * MB, 30 * MB)
