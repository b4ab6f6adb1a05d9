"""``python -m e2e.up``: everything a user of Trireme has, on the cluster that is chosen here.

With ``--alone``: Trireme and nothing that it works with, as where it is the first to be installed. With ``--engine``:
only the real engine's image, on a cluster that runs.
"""

from __future__ import annotations

import argparse

from e2e import cluster, stack
from e2e.ending import explained

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m e2e.up")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--alone", action="store_true", help="nothing but Trireme")
    parts.add_argument("--engine", action="store_true", help="only load the real engine's image")
    options = parser.parse_args()
    chosen = cluster.choose()
    if options.alone:
        explained(lambda: stack.up_alone(chosen))
    elif options.engine:
        explained(lambda: stack.load(chosen, "engine-cpu", nodes=stack.ENGINE_NODES))
    else:
        explained(lambda: stack.up(chosen))
