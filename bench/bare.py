"""The baseline: a process that applies given bytes as fast as it can, and reads nothing else.

`python -m bench.bare KUBECONFIG PARALLEL` takes commands on its standard input: the path of a file with a JSON list of
chains, where the applies of a chain come one after the other ([path, body] each); then an empty line to begin. It
answers "loaded" and "done". A process of its own, as the operator is, so that neither side shares an event loop with
the watches of the bench.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from bench.client import APPLY, Client, RefusedError, apply_path, connected
from bench.scenario import Step

Chain = list[tuple[str, str]]
ROOT = Path(__file__).parents[1]


def chains(steps: Iterable[Step]) -> list[Chain]:
    """What the process is given."""
    result = []
    for step in steps:
        chain: Chain = []
        current: Step | None = step
        while current is not None:
            meta = current.body["metadata"]
            path = apply_path(current.kind, meta["namespace"], meta["name"], current.manager, current.subresource)
            chain.append((path, json.dumps(current.body, separators=(",", ":"))))
            current = current.then
        result.append(chain)
    return result


class Bare:
    """The process, seen from the bench."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._file = folder / "bare.json"

    async def load(self, given: Sequence[Chain]) -> None:
        self._file.write_text(json.dumps(given))
        await self._say(f"{self._file}\n", expected="loaded")

    async def go(self) -> None:
        """Apply everything; returns when the last answer was there."""
        await self._say("\n", expected="done")

    async def _say(self, line: str, *, expected: str) -> None:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the baseline was started without pipes")
        stdin.write(line.encode())
        await stdin.drain()
        answer = (await stdout.readline()).decode().strip()
        if answer != expected:
            raise RuntimeError(f"the baseline said {answer!r} where {expected!r} was expected")


@asynccontextmanager
async def running(kubeconfig: Path, folder: Path, *, parallel: int) -> AsyncIterator[Bare]:
    """The baseline with at most ``parallel`` applies at a time."""
    argv = [sys.executable, "-m", "bench.bare", str(kubeconfig), str(parallel)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, cwd=ROOT)
    try:
        yield Bare(process, folder)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _apply(client: Client, path: str, body: str) -> None:
    """Once more where the API server ran out of time itself, as the operator does."""
    try:
        await client.send("PATCH", path, body.encode(), content_type=APPLY)
    except RefusedError as error:
        if error.status != HTTPStatus.GATEWAY_TIMEOUT:
            raise
        await client.send("PATCH", path, body.encode(), content_type=APPLY)


async def _serve(kubeconfig: Path, parallel: int) -> None:
    slots = asyncio.Semaphore(parallel)

    async def run(client: Client, chain: Chain) -> None:
        for path, body in chain:
            async with slots:
                await _apply(client, path, body)

    async with connected(kubeconfig) as client:
        loaded: list[Chain] = []
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip():
                loaded = json.loads(await asyncio.to_thread(Path(line.strip()).read_text))
                sys.stdout.write("loaded\n")
            else:
                async with asyncio.TaskGroup() as group:
                    for chain in loaded:
                        group.create_task(run(client, chain))
                sys.stdout.write("done\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
