"""A second baseline: what one writes after the first page of kopf's manual.

The same children, applied one after the other by an `on.create` handler, with kopf's defaults. It repairs nothing,
notices no change of a child, and writes no status; it is here to be compared with, not to be used.

`python -m bench.naive KUBECONFIG NAMESPACE`
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kopf

from bench.bare import ROOT, chains
from bench.client import APPLY, connected
from bench.process import quiet
from bench.scenario import steps
from trireme_operator.kube import INFERENCE_CLUSTER

_SETTLE_SECONDS = 2.0


class Naive:
    """The process, seen from the bench."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    async def quiet(self) -> None:
        """Wait until it has nothing to do."""
        await quiet(self._pid)


@asynccontextmanager
async def running(kubeconfig: Path, log: Path, namespace: str) -> AsyncIterator[Naive]:
    """The naive operator for one namespace."""
    argv = [sys.executable, "-m", "bench.naive", str(kubeconfig), namespace]
    environment = os.environ | {"KUBECONFIG": str(kubeconfig)}
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        await asyncio.sleep(_SETTLE_SECONDS)
        yield Naive(process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _serve(kubeconfig: Path, namespace: str) -> None:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)
    async with connected(kubeconfig) as client:

        async def create(body: kopf.Body, **_: Any) -> None:
            for chain in chains(steps(dict(body))):
                for path, text in chain:
                    await client.send("PATCH", path, text.encode(), content_type=APPLY)

        kind = INFERENCE_CLUSTER
        kopf.on.create(kind.group, kind.version, kind.plural, registry=registry)(create)
        await kopf.operator(registry=registry, standalone=True, namespaces=[namespace])


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2]))
