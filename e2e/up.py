"""``python -m e2e.up``: everything a user of Trireme has, on the cluster that is chosen here."""

from __future__ import annotations

from e2e import cluster, stack

if __name__ == "__main__":
    stack.up(cluster.choose())
