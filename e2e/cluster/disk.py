"""Whether the disk has room for what the cluster and its images need, asked before an hour of building."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from e2e.cluster.provider import ClusterError

NEEDED_BYTES = 25 * 10**9
"""What a build from nothing with the real engine took, the images in the stores of all nodes included."""

_BLOCK_BYTES = 512
"""The unit of ``st_blocks``, whatever the file system's own is."""


def require_room(directory: Path, *, needed: int = NEEDED_BYTES) -> None:
    """Raise ClusterError unless what ``directory`` holds and what is free beside it make ``needed`` bytes."""
    free = shutil.disk_usage(_existing(directory)).free
    if free >= needed:  # which spares the look at every file
        return
    used = _used(directory, enough=needed - free)
    missing = needed - used - free
    if missing > 0:
        raise ClusterError(
            f"the disk of {directory} has {_gigabytes(free)} free: images and nodes take {_gigabytes(needed)}, of "
            f"which {_gigabytes(used)} are there already; free {_gigabytes(missing)}, or set TRIREME_CACHE to a "
            "directory on a larger disk"
        )


def _existing(directory: Path) -> Path:
    absolute = directory.absolute()
    return next(each for each in (absolute, *absolute.parents) if each.exists())


def _used(directory: Path, *, enough: int) -> int:
    """Bytes on the disk of ``directory``, counted until they are ``enough``; what is mounted below lies elsewhere."""
    total = 0
    device = _existing(directory).stat().st_dev
    for path, directories, files in os.walk(directory):
        for name in (*directories, *files):  # a copy: mounted directories are taken out of the walk
            with suppress(OSError):  # a running cluster removes files meanwhile
                status = os.lstat(os.path.join(path, name))  # noqa: PTH118  (tens of thousands of files)
                if status.st_dev == device:
                    total += status.st_blocks * _BLOCK_BYTES
                elif name in directories:
                    directories.remove(name)
        if total >= enough:
            break
    return total


def _gigabytes(size: int) -> str:
    return f"{size / 10**9:.1f} GB"
