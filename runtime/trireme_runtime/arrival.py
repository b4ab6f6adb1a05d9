"""How much of a model of the Hugging Face Hub has arrived: seen in the cache directory, into which the engine fetches.

The engine fetches without a word for as long as that takes. Its huggingface_hub (2.4 with vLLM 0.32, file_download.py)
writes each file to ``blobs/<etag>[.<random>].incomplete`` and renames it when its size is right, so the files of that
directory tell how far it is. What there is in all only the Hub knows; it is asked once, when bytes arrive, and where it
does not answer there is no total.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trireme_runtime.log import say

INTERVAL_SECONDS = 1.0
QUIET_SECONDS = 10.0
"""Between two files nothing may grow for a moment."""
LEAST_BYTES = 8_000_000
"""Less is no fetch of a model: its config and tokenizer come first, also where the weights are there already."""
_BLOCK_BYTES = 512
_INCOMPLETE = ".incomplete"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")

SizesFn = Callable[[], Mapping[str, int]]
"""Bytes of each file that the engine will fetch, by its name in ``blobs``; raises OSError or ValueError."""


@dataclass(frozen=True)
class Repository:
    """A model of the Hub, and ``directory``, the part of the cache that holds it."""

    name: str
    revision: str
    directory: Path


@dataclass(frozen=True)
class Progress:
    """Bytes that have arrived, of how many (None: unknown)."""

    done: int
    total: int | None


def repository(command: Sequence[str], variables: Mapping[str, str]) -> Repository | None:
    """What ``vllm serve NAME`` would fetch; None for a directory, another store, or an engine that may not ask.

    The cache is found as huggingface_hub does (constants.py), unless vLLM's ``--download-dir`` names another one.
    """
    name = command[2] if len(command) > 2 else ""  # noqa: PLR2004 - vllm serve NAME
    offline = variables.get("HF_HUB_OFFLINE") or variables.get("TRANSFORMERS_OFFLINE") or ""
    if not _NAME.fullmatch(name) or Path(name).is_dir() or offline.upper() in {"1", "ON", "YES", "TRUE"}:
        return None
    home = variables.get("HF_HOME") or f"{_cache_home(variables)}/huggingface"
    cache = _value(command, "--download-dir") or variables.get("HF_HUB_CACHE") or f"{home}/hub"
    directory = Path(os.path.expandvars(cache)).expanduser() / f"models--{name.replace('/', '--')}"
    return Repository(name, _value(command, "--revision") or "main", directory)


class Arrival:
    """One thread looks, others ask for the progress; times on the monotonic clock."""

    def __init__(self, blobs: Path, sizes: SizesFn) -> None:
        self._blobs = blobs
        self._sizes = sizes
        self._wanted: Mapping[str, int] | None = None
        self._asked = False
        self._before: dict[str, int] | None = None
        self._first = 0
        self._growing: set[str] = set()
        self._grew_at: float | None = None
        self._over = threading.Event()
        self.latest: Progress | None = None

    def progress(self, now: float) -> Progress | None:
        """None while nothing arrives."""
        grew_at = self._grew_at
        arrives = grew_at is not None and (now - grew_at < QUIET_SECONDS or bool(self._growing))
        return self.latest if arrives and not self._over.is_set() else None

    def finish(self) -> None:
        """The engine has its weights: nothing is looked at any more."""
        self._over.set()

    def watch(self) -> None:
        """Look once a second until it is over."""
        while not self._over.wait(INTERVAL_SECONDS):
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Take in what is there now."""
        found, before = _files(self._blobs), self._before
        self._before = found
        if before is None:
            self._first = sum(found.values())
            return
        grown = {name for name, size in found.items() if size > before.get(name, 0)}
        arrived = sum(found.values()) - self._first
        # One that another process left behind never grows; one that did is still being fetched, however slowly.
        unfinished = {name for name in found if name.endswith(_INCOMPLETE)}
        self._growing = (self._growing | grown) & unfinished
        if arrived < LEAST_BYTES:
            return
        if grown:
            self._grew_at = now
        if not self._asked:
            self.latest = Progress(arrived, None)  # nobody waits for the Hub to hear that the model comes
            self._ask()
        self.latest = self._progress(found, arrived)

    def _ask(self) -> None:
        self._asked = True
        try:
            self._wanted = self._sizes()
        except (OSError, ValueError) as error:
            say("The Hub does not say how large the model is", reason=error)

    def _progress(self, found: Mapping[str, int], arrived: int) -> Progress:
        """Of the files that the engine wants, where they are known: others may come to the same directory."""
        if not self._wanted:
            return Progress(arrived, None)
        parts: dict[str, int] = {}
        for name, size in found.items():
            etag = name.partition(".")[0]
            parts[etag] = max(size, parts.get(etag, 0))
        done = sum(min(size, parts.get(etag, 0)) for etag, size in self._wanted.items())
        return Progress(done, sum(self._wanted.values()))


def weights(files: Sequence[Mapping[str, object]]) -> dict[str, int]:
    """Of the Hub's list of files those that vLLM takes for the weights, as ``SizesFn`` has them.

    As vLLM 0.32 chooses (model_loader/default_loader.py): Mistral's own format first, then safetensors, then pickled
    weights. Its index may name fewer files than lie there. Raises ValueError for a list that is none.
    """
    named = {}
    for each in files:
        if not isinstance(each, Mapping) or each.get("type") != "file":
            continue
        large = each.get("lfs")
        etag, size = (large if isinstance(large, Mapping) else each).get("oid"), each.get("size")
        if not isinstance(etag, str) or not isinstance(size, int):
            raise ValueError("the Hub's list of files can't be read")  # noqa: TRY004 - what it says is no type error
        named[str(each.get("path"))] = (etag, size)
    for pattern in (r"consolidated.*\.safetensors", r"model.*\.safetensors", r".*\.safetensors", r".*\.bin", r".*\.pt"):
        chosen = [found for path, found in named.items() if re.fullmatch(pattern, path) and "/" not in path]
        if chosen:
            return dict(chosen)
    return {}


def start(command: Sequence[str], variables: Mapping[str, str]) -> Arrival | None:
    """Watch what the engine that has just been started fetches; None where it fetches nothing."""
    wanted = repository(command, variables)
    if wanted is None:
        return None

    def sizes() -> Mapping[str, int]:
        from trireme_runtime import hub  # noqa: PLC0415 - its modules cost time and memory, and few pods fetch

        return weights(hub.files(wanted.name, wanted.revision, variables))

    arrival = Arrival(wanted.directory / "blobs", sizes)
    arrival.look(time.monotonic())
    threading.Thread(target=arrival.watch, name="arrival", daemon=True).start()
    return arrival


def _files(directory: Path) -> dict[str, int]:
    """Bytes of each file; of one that is not complete only what has been written, as it may have holes."""
    found = {}
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                try:
                    seen = entry.stat(follow_symlinks=False)
                except OSError:
                    continue  # renamed meanwhile
                written = seen.st_blocks * _BLOCK_BYTES
                partly = entry.name.endswith(_INCOMPLETE) and written
                found[entry.name] = min(seen.st_size, written) if partly else seen.st_size
    except OSError:
        pass  # nothing was fetched yet
    return found


def _cache_home(variables: Mapping[str, str]) -> str:
    return variables.get("XDG_CACHE_HOME") or f"{variables.get('HOME', '~')}/.cache"


def _value(command: Sequence[str], flag: str) -> str:
    found = ""
    for word, following in zip(command, [*command[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == flag:
            found = value if equals else following
    return found
