"""Wheels, downloaded once by the machine's own pip and kept: builds then install them without a network.

The download runs outside the image build because that is where the machine's index, proxy and certificates
are configured, and so that a second build does not fetch hundreds of megabytes again.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from e2e import cache, host, progress

# The images are Debian 12 on x86-64 (Python 3.11, glibc 2.36), whatever this machine runs.
_PYTHON = ("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none")
_KEY_DIGITS = 16  # of cache.key
_GLIBC_MINORS = range(36, 4, -1)
_PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in _GLIBC_MINORS),
    "manylinux2014_x86_64",
    "linux_x86_64",
    "any",
)


def wheels(*locks: Path, expected_seconds: float = 10) -> Path:
    """A directory with every wheel that ``locks`` pin by hash (one requirement a line, closed)."""
    target = _entry(locks)
    if not target.exists():
        with cache.building(target) as scratch:
            if scratch is not None:
                for lock in locks:
                    with progress.step(f"Downloading the wheels of {lock.name}", expected_seconds=expected_seconds):
                        _download(lock, scratch)
    return target


def prune(*kept: Sequence[Path]) -> None:
    """Remove every directory of wheels but those of the ``kept`` sets of lock files."""
    current = {_entry(locks) for locks in kept}
    # Programs that come in wheels lie beside, by name and version.
    for path in cache.entry("wheels", "").glob("[0-9a-f]" * _KEY_DIGITS):
        if path not in current:
            shutil.rmtree(path)


def _entry(locks: Sequence[Path]) -> Path:
    return cache.entry("wheels", cache.key(*locks, *_PYTHON))


def _download(lock: Path, folder: Path) -> None:
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    argv += [*_PYTHON, *(option for name in _PLATFORMS for option in ("--platform", name))]
    host.run([*argv, "--requirement", str(lock), "--dest", str(folder)])
