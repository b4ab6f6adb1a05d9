"""``python -m e2e.up``: everything a user of Trireme has, on the cluster that is chosen here."""

from __future__ import annotations

from e2e import cluster, stack
from e2e.ending import explained

if __name__ == "__main__":
    explained(lambda: stack.up(cluster.choose()))
