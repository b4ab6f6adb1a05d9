"""A Service of the cluster as a port of this machine, the same for every kind of cluster.

``kubectl port-forward`` listens where the cluster's addresses are reachable, which may be a network namespace; a relay
there and one here bring its port to this machine's loopback.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from e2e.cluster import Cluster


@contextmanager
def forward(cluster: Cluster, *, namespace: str, target: str, port: int) -> Iterator[str]:
    """``http://127.0.0.1:PORT`` of a Service or pod, valid inside the block.

    Raises RuntimeError when kubectl can't forward: no such object, or no pod behind it.
    """
    relay = [sys.executable, "-m", "e2e.relay"]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="trireme-reach-"))
        between = f"unix:{folder}/port.sock"
        argv = cluster.kubectl_command(
            "port-forward", "--namespace", namespace, target, f":{port}", "--address=127.0.0.1"
        )
        inner = _port(stack.enter_context(_running(argv)), f"kubectl port-forward of {namespace}/{target}")
        near = stack.enter_context(_running(cluster.command(*relay, between, f"tcp:127.0.0.1:{inner}")))
        _first_line(near)
        outer = _port(stack.enter_context(_running([*relay, "tcp:127.0.0.1:0", between])), "the relay on this machine")
        yield f"http://127.0.0.1:{outer}"


@contextmanager
def socket(cluster: Cluster, *, host: str, port: int) -> Iterator[Path]:
    """A unix socket of this machine that leads to an address of the cluster's network, valid inside the block.

    Unlike ``forward`` it outlives connections that break: kubectl gives up its whole forwarding when one is reset.
    """
    with tempfile.TemporaryDirectory(prefix="trireme-reach-") as folder:
        path = Path(folder) / "port.sock"
        argv = [sys.executable, "-m", "e2e.relay", f"unix:{path}", f"tcp:{host}:{port}"]
        with _running(cluster.command(*argv)) as relay:
            if not _first_line(relay).startswith("unix:"):
                raise RuntimeError(f"the relay to {host}:{port} did not start")
            yield path


@contextmanager
def _running(argv: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _port(process: subprocess.Popen[str], what: str) -> int:
    line = _first_line(process)
    found = re.search(r"127\.0\.0\.1:(\d+)", line)
    if not found:
        raise RuntimeError(f"{what} did not start: {line.strip() or 'it said nothing'}")
    return int(found[1])


def _first_line(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline() if process.stdout else ""
