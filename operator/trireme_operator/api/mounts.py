"""Where the operator mounts what in the engine's container: paths that a ``podTemplate`` may not mount at."""

from __future__ import annotations

from typing import Final

MODEL_MOUNT: Final = "/mnt/model"
MODEL_CACHE_MOUNT: Final = "/mnt/model-cache"
CREDENTIALS_MOUNT: Final = "/mnt/credentials"
TOPOLOGY_MOUNT: Final = "/mnt/topology"

ALWAYS_MOUNTED: Final = frozenset({"/trireme", "/home/trireme", "/tmp", "/dev/shm"})  # noqa: S108  (paths in a container)
