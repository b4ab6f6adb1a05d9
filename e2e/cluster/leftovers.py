"""What kubelet, containerd and CNI leave in places that cannot be configured, found and removed."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from e2e.cluster.processes import marked
from e2e.cluster.provider import ClusterError

_CONTAINER_LOGS = Path("/var/log/containers")
_DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
_EMPTY_WHEN_DONE = (
    Path("/var/lib/cni/results"),
    Path("/var/lib/cni"),
    _CONTAINER_LOGS,
    _DEVICE_PLUGINS,
    _DEVICE_PLUGINS.parent,
)


def require_no_other_kubelet() -> None:
    """Raise ClusterError where a kubelet runs that is not ours: every kubelet of a machine shares one socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(_DEVICE_PLUGINS / "kubelet.sock"))
        except OSError:
            return
    if not marked():
        raise ClusterError("this machine is a node of another Kubernetes cluster: use another machine, or CLUSTER=kind")


def log_links(state: Path) -> list[Path]:
    """The links that kubelet made to the logs of the pods whose files are below ``state``."""
    if not _CONTAINER_LOGS.is_dir():
        return []
    return sorted(
        path for path in _CONTAINER_LOGS.iterdir() if path.is_symlink() and path.readlink().is_relative_to(state)
    )


def remove_shared(state: Path) -> None:
    """Remove them; no kubelet of this cluster may run any more."""
    for link in log_links(state):
        link.unlink()
    if not marked():  # else another cluster of ours uses them
        for name in ("kubelet.sock", "kubelet_internal_checkpoint"):
            (_DEVICE_PLUGINS / name).unlink(missing_ok=True)
    for directory in _EMPTY_WHEN_DONE:
        with contextlib.suppress(OSError):  # absent, or used by others
            directory.rmdir()
