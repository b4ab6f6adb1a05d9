"""Was this container started again inside the same pod?

LeaderWorkerSet recreates a group when one of its containers ended, but the kubelet is faster: it restarts the
container in place first, and the pod is deleted a second or two later. Such a launcher waits before it loads
anything. The mark lies in the temporary directory, an emptyDir, which outlives containers and not the pod.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

DELAY_SECONDS = 10.0


def mark(pod_uid: str) -> bool:
    """Leave the mark of this pod; True when it was there already. A directory that cannot be written counts as new."""
    path = Path(tempfile.gettempdir()) / f"trireme-launcher-{pod_uid.replace('/', '_')}"
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return True
    except OSError:
        return False
    return False
