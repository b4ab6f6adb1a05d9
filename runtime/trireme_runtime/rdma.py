"""What an RDMA device needs of the pod: memory that stays in place, without a limit.

A device writes into memory that its driver has locked, and the kernel counts that against the limit of the process
(getrlimit(2), RLIMIT_MEMLOCK). A container inherits the limit from the node's container runtime; the capability
IPC_LOCK, which lifts it, is more than Pod Security ``restricted`` allows and has no effect on a process of another
user than root.
"""

from __future__ import annotations

import resource
from pathlib import Path

DEVICES = Path("/dev/infiniband")


def prepare(devices: Path = DEVICES) -> str:
    """Raise the pod's limit of locked memory as far as it may go, where there are devices; why that is not enough."""
    if not devices.is_dir():
        return ""
    _, most = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (most, most))
    if most == resource.RLIM_INFINITY:
        return ""
    return (
        f"memory for RDMA devices is limited to {most} bytes (RLIMIT_MEMLOCK), which may be too little: set"
        " LimitMEMLOCK=infinity for the container runtime of the node"
    )
