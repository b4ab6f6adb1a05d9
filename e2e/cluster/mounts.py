"""Mounts below a directory: found, and taken away innermost first."""

from __future__ import annotations

import re
from pathlib import Path

from e2e.host import run

_ESCAPE = re.compile(r"\\([0-7]{3})")


def below(directory: Path, table: str | None = None) -> list[Path]:
    """The mount points in ``directory``, the innermost first; ``table`` is the text of /proc/self/mounts."""
    lines = (table if table is not None else Path("/proc/self/mounts").read_text()).splitlines()
    points = [Path(_ESCAPE.sub(lambda code: chr(int(code[1], 8)), line.split()[1])) for line in lines]
    # Later mounts lie on top of earlier ones, also at the same point.
    return [point for point in reversed(points) if point.is_relative_to(directory)]


def unmount(directory: Path) -> None:
    """Unmount everything in ``directory``; lazily, because the last process that used it may still be dying."""
    for point in below(directory):
        run(["umount", "--lazy", point])
