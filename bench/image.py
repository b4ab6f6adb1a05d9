"""What a node downloads before the operator runs."""

from __future__ import annotations

from bench.figures import Figure
from e2e import images


def operator() -> Figure:
    """The archive of the operator's image, its layers compressed with zstd at its lowest level."""
    archive = images.build("operator")["operator"]
    return Figure("image_mb", archive.stat().st_size / 10**6, 1)
