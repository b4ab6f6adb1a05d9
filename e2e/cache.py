"""Builds that survive: a directory of finished entries, each keyed by what went into it.

An entry is either absent or complete. It is built under a temporary name beside its final one and renamed
when done, so a build that was killed leaves nothing that looks finished, and two processes that want the
same entry build it once (the second waits on a file lock).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def root() -> Path:
    """The cache directory: ``$TRIREME_CACHE``, by default ``~/.cache/trireme``."""
    return Path(os.environ.get("TRIREME_CACHE", "~/.cache/trireme")).expanduser()


def key(*parts: str | bytes | Path) -> str:
    """A short key of texts and of files' contents: 16 hexadecimal digits.

    A ``Path`` counts with its name and content; a directory with those of every file below it, in order. What tools
    keep in it (byte code, hidden folders) does not count: it comes and goes while nothing has changed.
    """
    digest = hashlib.sha256()
    for part in parts:
        for chunk in _chunks(part):
            digest.update(len(chunk).to_bytes(8, "big"))
            digest.update(chunk)
    return digest.hexdigest()[:16]


def _chunks(part: str | bytes | Path) -> Iterator[bytes]:
    if isinstance(part, str):
        yield part.encode()
    elif isinstance(part, bytes):
        yield part
    elif part.is_dir():
        for file in sorted(path for path in part.rglob("*") if path.is_file()):
            name = file.relative_to(part)
            if not any(each == "__pycache__" or each.startswith(".") for each in name.parts):
                yield str(name).encode()
                yield file.read_bytes()
    else:
        yield part.name.encode()
        yield part.read_bytes()


def entry(kind: str, name: str) -> Path:
    """Where the entry ``name`` of a ``kind`` lies when it is complete (it may not exist yet)."""
    return root() / kind / name


@contextmanager
def building(target: Path) -> Iterator[Path | None]:
    """Build ``target`` once: yields a fresh directory to fill, or None when another process already did.

    The directory becomes ``target`` when the block ends without an exception, and is removed otherwise.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target):
        if target.exists():
            yield None
            return
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        scratch.chmod(0o755)
        try:
            yield scratch
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the file lock that belongs to ``target`` (other processes wait)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
