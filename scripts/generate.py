"""Writes all that is generated, one thing after the other: ``python -m scripts.generate [--check]``.

In one process, because what they import takes longer than what they do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from e2e.drills import page, scaling_page
from scripts import generate_manifests
from trireme_operator import generate

PARTS = (generate.main, generate_manifests.main, page.main, scaling_page.main)
"""Each after what it reads of the others; with ``--check`` they write nothing, and fail when a file would change."""


def main(arguments: Sequence[str]) -> int:
    return max(part(arguments) for part in PARTS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
