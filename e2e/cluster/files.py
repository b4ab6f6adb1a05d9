"""Writing files that running programs read."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, text: str, *, mode: int = 0o644) -> Path:
    """Write the file unless it already says so: kube-proxy ends itself when its file is touched. Returns the path."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=mode)
        path.write_text(text)
    return path
