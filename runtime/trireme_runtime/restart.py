"""Was this container started again inside the same pod?

LeaderWorkerSet recreates a group when one of its containers ended, but the kubelet is faster: it restarts the
container in place first, and the pod is deleted a second or two later. Such a launcher loads nothing: it waits for
its SIGTERM, and ends by itself when none comes. None may come although it was sent: while Python starts, process 1 has
no handler yet, and the kernel drops a signal to a process 1 that does not handle it. Were it to wait on, the kubelet
would hold the pod, and with it the whole group, for the full grace period (seen: 120 s).

The mark lies in the temporary directory, an emptyDir, which outlives containers and not the pod.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from trireme_runtime.termination import Cause

DELAY_SECONDS = 10.0
"""How long a launcher that was restarted in place waits before it ends; LeaderWorkerSet needs about 2 s to react."""


OBSTACLE = "this container was restarted in place; its group is expected to be recreated"


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


def cause() -> Cause:
    """Why such a launcher ends. The failure before it stands in the container's last state."""
    return Cause(
        "RestartedInPlace",
        f"the container was restarted in place and its group was not recreated within {DELAY_SECONDS:.0f} s",
    )
