"""The allocator of the operator's image, for processes that are measured outside one."""

from __future__ import annotations

import re
from pathlib import Path

from e2e import host
from e2e.images import dockerfile

PACKAGE = "libjemalloc2"
_DOCKERFILE = Path(__file__).parents[1] / "Dockerfile"
_NAMES = ("PYTHONMALLOC", "LD_PRELOAD", "MALLOC_CONF")


def settings() -> dict[str, str]:
    """The environment variables that the image sets for it. Raises ValueError for one that it does not set."""
    stage = dockerfile.closure(_DOCKERFILE.read_text(), "operator")
    found = {name: re.search(rf"\b{name}=(\S+)", stage) for name in _NAMES}
    missing = [name for name, match in found.items() if match is None]
    if missing:
        raise ValueError(f"{_DOCKERFILE.name}: the operator's image does not set {', '.join(missing)}")
    return {name: match[1] for name, match in found.items() if match}


def install() -> dict[str, str]:
    """The same, when this machine has the library. Raises HostError where it can't be installed."""
    host.ensure_packages(PACKAGE)
    return settings()
