"""What to look at after a failure, collected while the cluster still stands."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from e2e import cache
from e2e.cluster import Cluster

QUESTIONS: dict[str, Sequence[str]] = {
    "nodes.txt": ("describe", "nodes"),
    "pods.txt": ("get", "pods", "--all-namespaces", "--output=wide"),
    "pods-described.txt": ("describe", "pods", "--all-namespaces"),
    "events.txt": ("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"),
    "inferenceclusters.yaml": ("get", "inferenceclusters", "--all-namespaces", "--output=yaml"),
    "leaderworkersets.yaml": ("get", "leaderworkersets", "--all-namespaces", "--output=yaml"),
    "httproutes.yaml": ("get", "httproutes", "--all-namespaces", "--output=yaml"),
    "operator.log": ("logs", "--namespace=trireme-system", "deployment/trireme", "--tail=5000"),
    "operator-before-restart.log": ("logs", "--namespace=trireme-system", "deployment/trireme", "--previous"),
    "lws.log": ("logs", "--namespace=lws-system", "deployment/lws-controller-manager", "--tail=2000"),
}
"""File -> what kubectl is asked for it. An answer that is an error is kept as well: it tells something."""

_DEPTH = 3
_ANSWER_SECONDS = 30
_LARGEST_BYTES = 20_000_000


def collect(cluster: Cluster, folder: Path) -> None:
    """Fill ``folder`` with kubectl's answers and the logs of the cluster's own processes; never raises for a cluster
    that is half dead.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kubeconfig = str(cluster.kubeconfig())
    for name, question in QUESTIONS.items():
        argv = cluster.command("kubectl", f"--kubeconfig={kubeconfig}", *question)
        with (folder / name).open("w") as answer:
            try:
                subprocess.run(argv, stdout=answer, stderr=subprocess.STDOUT, timeout=_ANSWER_SECONDS, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                answer.write(f"{error}\n")
    _copy_logs(cache.root() / "clusters" / cluster.name, folder / "processes")


def _copy_logs(state: Path, folder: Path) -> None:
    """Log files near the top of the cluster's directory; containers' file systems lie deeper and are not searched."""
    for depth in range(1, _DEPTH + 1):
        for log in state.glob("/".join(["*"] * (depth - 1) + ["*.log"])):
            if log.is_file() and log.stat().st_size <= _LARGEST_BYTES:
                target = folder / log.relative_to(state)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(log, target)
