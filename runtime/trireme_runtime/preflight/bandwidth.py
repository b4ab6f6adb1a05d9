"""The measuring program of one rank, run by the engine's own Python, which has torch; nothing else imports it.

It says on its standard output, one JSON object a line, what it begins, how long that may take, and what it found; the
launcher that started it keeps the time. Its plan is the first line of its standard input; when that input ends, so does
the program. Pairs come before the collective: one of them that hangs has a name, a collective that hangs has none.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

_JOIN_SECONDS: Final = 30
_PAIR_SECONDS: Final = 10
_ALL_REDUCE_SECONDS: Final = 30
_WAIT_SECONDS: Final = 3600
"""A rank that only waits for others has no time limit of its own: those that it waits for have one."""

_PINGS: Final = 20
_REPEATS: Final = 3
_FLOAT_BYTES: Final = 4
_PAIR_BYTES: Final = {"nccl": 64 << 20, "gloo": 8 << 20}
_ALL_REDUCE_BYTES: Final = {"nccl": 256 << 20, "gloo": 8 << 20}
_LEAST_BYTES: Final = 1 << 20
_ROUNDS_OF_FULL_SIZE: Final = 16


def main() -> None:
    """Import torch, say so, wait for the plan, follow it."""
    began = time.monotonic()
    try:
        # It takes seconds, and may be missing.
        import torch  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
        from torch import distributed  # noqa: PLC0415

        usable = distributed.is_available()
        devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, there is no torch
        say(event="unavailable", reason=f"{sys.executable} cannot import torch: {error}")
        return
    if not usable:
        say(event="unavailable", reason=f"the torch of {sys.executable} has no torch.distributed")
        return
    say(event="ready", devices=devices, seconds=time.monotonic() - began)
    line = sys.stdin.readline()
    if not line:
        return
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        Measurement(json.loads(line), torch).run()
    except Exception as error:  # noqa: BLE001 - said to the launcher, which knows the step that it happened in
        say(event="failed", reason=_first_line(error))
    else:
        say(event="done")
    # Destroying process groups may hang, and nothing is worth waiting for.
    sys.stdout.flush()
    os._exit(0)


def say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(3)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def rounds(pods: int) -> list[list[tuple[int, int]]]:
    """All pairs of pods: one after the other up to 8 pods, for more of them as many at a time as have different pods.

    The second is the circle method of round-robin tournaments: pods - 1 rounds (pods, if their number is odd).
    """
    if pods <= 8:  # noqa: PLR2004
        return [[(low, high)] for low in range(pods) for high in range(low + 1, pods)]
    seats: list[int | None] = [*range(pods), *([None] if pods % 2 else [])]
    half, found = len(seats) // 2, []
    for _ in range(len(seats) - 1):
        pairs = zip(seats[:half], reversed(seats[half:]), strict=True)
        found.append([(min(a, b), max(a, b)) for a, b in pairs if a is not None and b is not None])
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return found


def _repeat(action: Callable[[Any], None], bulk: Any, answer: Callable[[Any], None], token: Any) -> None:
    for _ in range(_REPEATS):
        action(bulk)
    answer(token)


class Measurement:
    """What one rank does.

    The plan: ``rank``, ``world``, ``ranksPerPod``, ``pods`` (names, by index), ``address`` and ``port`` of the store,
    ``backend``, ``device`` (index of the rank's device, null for the processor), ``seconds`` for all of it.
    """

    def __init__(self, plan: Mapping[str, Any], torch: Any) -> None:
        self._torch = torch
        self._distributed = torch.distributed
        self._plan = plan
        self._rank, self._world = int(plan["rank"]), int(plan["world"])
        self._per_pod = int(plan["ranksPerPod"])
        self._backend = str(plan["backend"])
        self._device = "cpu" if plan["device"] is None else f"cuda:{plan['device']}"
        self._store: Any = None

    def run(self) -> None:
        self._join()
        all_rounds = rounds(len(self._plan["pods"]))
        size = _PAIR_BYTES[self._backend] * _ROUNDS_OF_FULL_SIZE // max(_ROUNDS_OF_FULL_SIZE, len(all_rounds))
        size = max(_LEAST_BYTES, size)
        pod, local = divmod(self._rank, self._per_pod)
        for number, pairs in enumerate(all_rounds):
            for low, high in pairs:
                if local == 0 and pod in {low, high}:
                    self._pair(high if pod == low else low, size, first=pod == low)
                    self._arrive(f"round/{number}", 2 * len(pairs))
            self._wait(f"round/{number}")
        self._all_reduce(_ALL_REDUCE_BYTES[self._backend])

    def _join(self) -> None:
        """Meet in the store, where a rank that does not come has a name; only then make the process group."""
        say(event="begin", step="join", seconds=_JOIN_SECONDS)
        limit = timedelta(seconds=_JOIN_SECONDS)
        plan = self._plan
        self._store = self._distributed.TCPStore(
            plan["address"], plan["port"], self._world, self._rank == 0, timeout=limit, wait_for_workers=False
        )
        self._store.set(f"joined/{self._rank}", "1")
        if self._rank == 0:
            self._wait_for_ranks()
            self._store.set("joined", "1")
        self._wait("joined")
        say(event="begin", step="join", seconds=_JOIN_SECONDS)
        if self._device != "cpu":
            self._torch.cuda.set_device(self._device)
            self._torch.zeros(1, device=self._device)  # what a device takes to be opened is not the links' time
            self._settle()
        self._distributed.init_process_group(
            self._backend,
            store=self._distributed.PrefixStore("group", self._store),
            rank=self._rank,
            world_size=self._world,
            timeout=limit,
        )

    def _wait_for_ranks(self) -> None:
        deadline = time.monotonic() + _JOIN_SECONDS - 2
        while late := [rank for rank in range(self._world) if not self._store.check([f"joined/{rank}"])]:
            if time.monotonic() > deadline:
                pods = self._plan["pods"]
                names = list(dict.fromkeys(pods[rank // self._per_pod] for rank in late))
                raise TimeoutError(f"ranks {late} of {', '.join(names)} did not join within {_JOIN_SECONDS - 2} s")
            time.sleep(0.05)

    def _arrive(self, name: str, wanted: int) -> None:
        if self._store.add(f"{name}/count", 1) == wanted:
            self._store.set(name, "1")

    def _wait(self, name: str) -> None:
        say(event="begin", step="wait", seconds=_WAIT_SECONDS)
        self._store.wait([name], timedelta(seconds=_WAIT_SECONDS))

    def _pair(self, peer_pod: int, size: int, *, first: bool) -> None:
        """Latency, then each direction by itself: the slower one counts."""
        say(event="begin", step="pairwise", peer=peer_pod, seconds=_PAIR_SECONDS)
        peer = peer_pod * self._per_pod
        token = self._torch.zeros(2, dtype=self._torch.float32, device=self._device)
        bulk = self._torch.zeros(size // _FLOAT_BYTES, dtype=self._torch.float32, device=self._device)
        send, receive = partial(self._distributed.send, dst=peer), partial(self._distributed.recv, src=peer)
        order = (send, receive) if first else (receive, send)
        for tensor in (token, bulk):  # connections are made at the first use
            for action in order:
                action(tensor)
        latency = self._timed(lambda: [action(token) for _ in range(_PINGS) for action in order]) / (2 * _PINGS)
        times = []
        for action, answer in (order, tuple(reversed(order))):
            times.append(self._timed(partial(_repeat, action, bulk, answer, token)))
        if first:
            slower = size * _REPEATS / max(times)
            say(event="pair", peer=peer_pod, bytesPerSecond=slower, latencySeconds=latency)

    def _timed(self, work: Callable[[], object]) -> float:
        """Seconds until the work is done, on the device too."""
        self._settle()
        began = time.monotonic()
        work()
        self._settle()
        return max(time.monotonic() - began, 1e-9)

    def _settle(self) -> None:
        if self._device != "cpu":
            self._torch.cuda.synchronize()

    def _all_reduce(self, size: int) -> None:
        """Bus bandwidth: bytes x 2 (n - 1) / n a second, which a ring of n ranks moves over each link."""
        say(event="begin", step="allReduce", seconds=_ALL_REDUCE_SECONDS)
        data = self._torch.ones(size // _FLOAT_BYTES, dtype=self._torch.float32, device=self._device)
        self._distributed.all_reduce(data)
        low, high = float(data.min()), float(data.max())
        if not low == high == self._world:
            raise ArithmeticError(f"a sum of {self._world} ones came to {low:g} to {high:g} on rank {self._rank}")
        data.zero_()
        taken = self._timed(lambda: [self._distributed.all_reduce(data) for _ in range(_REPEATS)])
        slowest = self._torch.tensor([taken], dtype=self._torch.float64, device=self._device)
        self._distributed.all_reduce(slowest, op=self._distributed.ReduceOp.MAX)
        bus = size * _REPEATS * 2 * (self._world - 1) / self._world / float(slowest)
        if self._rank == 0:
            say(event="allReduce", bytesPerSecond=bus)
