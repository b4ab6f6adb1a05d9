"""A Service of the cluster, from this process: ``kubectl port-forward``, the same for every kind of cluster."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.cluster import Cluster


@contextmanager
def forward(cluster: Cluster, *, namespace: str, target: str, port: int) -> Iterator[str]:
    """``http://127.0.0.1:PORT`` of a Service or pod inside the block, for programs run by ``cluster.command``."""
    argv = cluster.kubectl_command("port-forward", "--namespace", namespace, target, f":{port}", "--address=127.0.0.1")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            if not found:
                raise RuntimeError(f"kubectl port-forward to {namespace}/{target}:{port} did not start: {line.strip()}")
            yield f"http://127.0.0.1:{found.group(1)}"
        finally:
            process.terminate()
