"""Which cluster this machine gets."""

from __future__ import annotations

import os
import shutil
import subprocess

from e2e.cluster.kind import KindCluster
from e2e.cluster.local import LocalCluster, usable
from e2e.cluster.provider import Cluster, ClusterError


def choose() -> Cluster:
    """Kind where Docker answers, else the local cluster; ``CLUSTER=kind`` or ``CLUSTER=local`` decides otherwise.

    Raises:
        ClusterError: CLUSTER has another value, or this machine can run neither.

    """
    wanted = os.environ.get("CLUSTER", "")
    if wanted not in {"", "kind", "local"}:
        raise ClusterError(f"CLUSTER={wanted}: it is either kind or local, or not set to have it chosen")
    if wanted == "kind" or (not wanted and docker_answers()):
        return KindCluster()
    if wanted == "local" or usable():
        return LocalCluster()
    raise ClusterError("no cluster can be made here: start Docker (CLUSTER=kind), or be root on Linux (CLUSTER=local)")


def docker_answers() -> bool:
    """Whether there is a Docker client and a daemon that answers it."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
