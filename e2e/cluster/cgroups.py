"""The cgroup under which a node's pods run, on cgroup v1 and v2 alike.

On v1 every controller has a hierarchy of its own, and the group must exist in each; on v2 there is one, and
the controllers have to be handed down from the root.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from e2e.cluster.provider import ClusterError

ROOT = Path("/sys/fs/cgroup")

NEEDED = frozenset({"cpu", "cpuset", "memory", "pids"})
"""The controllers kubelet does not start without."""

_REMOVAL_SECONDS = 5.0

_WEIGHTS = {"cpu.shares": "4096", "cpu.weight": "400"}
"""Four times the usual share of the processors, on v1 and v2. With the usual one each process beside the cluster
counts as much as the cluster with all its pods, which then miss heartbeats for half a minute while others compute.
"""


def hierarchies(root: Path = ROOT) -> list[Path]:
    """The mounted hierarchies: the root itself on v2, one directory a controller on v1."""
    if (root / "cgroup.controllers").exists():
        return [root]
    # cpu and cpuacct may be one directory under two names
    found = {entry.resolve() for entry in root.iterdir() if (entry / "cgroup.procs").exists()}
    return sorted(found)


def create(group: str, root: Path = ROOT) -> None:
    """Make ``group`` ("a/b") with every controller available in it.

    Raises:
        ClusterError: a controller that kubelet needs cannot be had there.

    """
    if not (root / "cgroup.controllers").exists():
        _require(root, {name for name in NEEDED if (root / name / "cgroup.procs").exists()})
    for hierarchy in hierarchies(root):
        parent = hierarchy
        for part in Path(group).parts:
            _delegate(parent)
            child = parent / part
            child.mkdir(exist_ok=True)
            _inherit_cpuset(parent, child)
            if parent == hierarchy:
                _weigh(child)
            parent = child
        _delegate(parent)
        if hierarchy == root:  # not the v2 hierarchy that some machines mount beside those of v1
            _require_controllers(parent)


def processes(group: str, root: Path = ROOT) -> set[int]:
    """The processes in ``group`` and below it."""
    found: set[int] = set()
    for directory in _below(group, root):
        with suppress(OSError):  # the group went away meanwhile
            found |= {int(pid) for pid in (directory / "cgroup.procs").read_text().split()}
    return found - {0}


def require_usable(group: str, root: Path = ROOT) -> None:
    """Make ``group`` and leave it there, or raise ClusterError and leave nothing: only a try shows what is allowed."""
    before = exists(group, root)
    try:
        create(group, root)
    except (ClusterError, OSError) as error:
        if not before:
            remove(group, root)
        if isinstance(error, ClusterError):
            raise
        raise ClusterError(
            f"no cgroup can be made below {root} ({error}): inside a container it is mounted read-only; run on the "
            "machine itself, or start the container with --privileged --cgroupns=host"
        ) from None


def exists(group: str, root: Path = ROOT) -> bool:
    """Whether ``group`` is there in any hierarchy."""
    return bool(list(_existing(group, root)))


def remove(group: str, root: Path = ROOT) -> None:
    """Remove ``group`` with everything below it; its processes must have ended.

    Raises:
        OSError: a process is still in it.

    """
    for directory in _below(group, root):
        _remove_one(directory)


def _below(group: str, root: Path) -> list[Path]:
    """The directories of ``group`` in every hierarchy, the innermost first; groups may go away at any moment."""
    return [Path(path) for top in _existing(group, root) for path, _directories, _files in os.walk(top, topdown=False)]


def _remove_one(path: Path) -> None:
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while True:
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # the kernel still counts a process that has just ended
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _existing(group: str, root: Path) -> Iterator[Path]:
    for hierarchy in hierarchies(root):
        directory = hierarchy / group
        if directory.is_dir():
            yield directory


def _delegate(directory: Path) -> None:
    """Let the groups below have every controller of this one (v2 only)."""
    available = directory / "cgroup.controllers"
    if not available.exists():
        return
    for controller in available.read_text().split():
        try:
            (directory / "cgroup.subtree_control").write_text(f"+{controller}")
        except (
            OSError
        ):  # some cannot be handed down everywhere (cpu with realtime processes): kubelet names what it lacks
            continue


def _require_controllers(directory: Path) -> None:
    available = directory / "cgroup.controllers"
    if not available.exists():
        return
    _require(directory, set(available.read_text().split()))


def _require(directory: Path, present: set[str]) -> None:
    if missing := NEEDED - present:
        raise ClusterError(
            f"{directory} lacks the cgroup controllers {', '.join(sorted(missing))}: inside a container they are not "
            "mounted, or the processes at the root of its cgroup are in the way; run on the machine itself, or start "
            "the container with --privileged --cgroupns=host"
        )


def _weigh(group: Path) -> None:
    for name, weight in _WEIGHTS.items():
        if (group / name).exists():
            (group / name).write_text(weight)


def _inherit_cpuset(parent: Path, child: Path) -> None:
    """A new cpuset of v1 has no CPU and no memory node, and takes no process until it has."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (parent / "cgroup.procs").exists() and (child / name).exists() and not (child / name).read_text().strip():
            (child / name).write_text((parent / name).read_text())
