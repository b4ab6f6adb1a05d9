"""Whose the namespaces, sockets and cgroups of a local cluster are.

Their names are the machine's, while a cluster's files lie in a cache of which there may be several (``TRIREME_CACHE``):
a mark beside the sockets says which one, so that nobody takes down, or starts into, the cluster of somebody else.
"""

from __future__ import annotations

from pathlib import Path

from e2e.cluster.provider import ClusterError

_MARK = "owner"


def claim(run: Path, state: Path) -> None:
    """Mark what is named after ``run`` as that of the cluster whose files are in ``state``.

    Raises:
        ClusterError: it is another's.

    """
    require_own(run, state)
    run.mkdir(parents=True, exist_ok=True)
    (run / _MARK).write_text(f"{state}\n")


def require_own(run: Path, state: Path) -> None:
    """Do nothing when it is ours or nobody's; an owner whose files are gone is nobody.

    Raises:
        ClusterError: it is another's; says whose, and how that one is taken down.

    """
    try:
        owner = Path((run / _MARK).read_text().strip())
    except FileNotFoundError:
        return
    if owner != state and owner.exists():
        root = owner.parents[1]
        raise ClusterError(
            f"the cluster {run.name} on this machine is that of another cache, {root}: "
            f"take it down with TRIREME_CACHE={root} make down, or use it with that TRIREME_CACHE"
        )
