"""Faults in a serving group of two pods, one after the other: each start after a fault is the next drill's group."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from e2e.gpu import memory, processes
from e2e.gpu.machine import Machine
from e2e.gpu.pods import Group, resource
from e2e.gpu.shapes import Layout
from e2e.gpu.web import OK, ask

Obj = dict[str, Any]

STALL_SECONDS: Final = 20
LIMIT_SECONDS: Final = 5.0
_PERCENT: Final = 60
_STREAMS: Final = 4
_TOKENS: Final = 2000
_REHEARSED_TOKENS: Final = 900
_ENGINE: Final = r"EngineCore"
_RANK: Final = r"Worker"
_LEFT_SECONDS: Final = 15.0


class Probe(threading.Thread):
    """The kubelet's readiness probe of a leader: each second, one second for the answer, out after two failures."""

    def __init__(self, group: Group) -> None:
        super().__init__(daemon=True)
        self._group = group
        self._stop_asked = threading.Event()
        self.out_at: float | None = None
        self.reason = ""
        self.start()

    def run(self) -> None:
        failures = 0
        due = time.monotonic()
        while not self._stop_asked.wait(max(0.0, due - time.monotonic())):
            due += 1.0
            code, text = self._group.ask(0, "/readyz", timeout=1.0)
            failures = 0 if code == OK else failures + 1
            if failures and not self.reason:
                self.reason = text.strip()
            if failures >= 2:  # noqa: PLR2004
                self.out_at = time.monotonic()
                return

    def seconds_since(self, fault: float, *, limit: float) -> float | None:
        """When it left rotation, in seconds since the fault; None when it did not within the limit."""
        self.join(max(0.0, fault + limit - time.monotonic()))
        self._stop_asked.set()
        return None if self.out_at is None else round(self.out_at - fault, 2)


@dataclass(frozen=True)
class Drill:
    """A fault, and what the first cause must say: one of ``reasons``, at the pod with this index."""

    name: str
    harm: Callable[[Group], str]
    pod: int
    reasons: tuple[str, ...]
    limit: float = LIMIT_SECONDS


def _kill_pod(group: Group) -> str:
    victims = processes.tree(group.processes[-1].pid)
    processes.kill(victims)
    return f"SIGKILL to all {len(victims)} processes of {group.pod(group.layout.pods - 1)}"


_ENDED = ("RankKilled", "RankExited", "EngineExited", "EngineKilled")
"""Whichever is seen first: that the process is gone, or that the engine has ended for it."""


def _signal(index: int, title: str, number: signal.Signals) -> Callable[[Group], str]:
    def harm(group: Group) -> str:
        victim = group.find(index, title)
        processes.kill([victim], number)
        return f"{number.name} to {victim.title[:60]} of {group.pod(index)}"

    return harm


def of_layout(layout: Layout) -> list[Drill]:
    """The drills that make sense for it. In one pod there is no worker to lose."""
    last = layout.pods - 1
    rank = Drill("rank-killed", _signal(last, _RANK, signal.SIGKILL), last, _ENDED)
    stopped = Drill(
        "rank-stopped", _signal(last, _RANK, signal.SIGSTOP), 0, ("Stalled",), limit=STALL_SECONDS + LIMIT_SECONDS
    )
    engine = Drill("engine-killed", _signal(0, _ENGINE, signal.SIGKILL), 0, _ENDED)
    if layout.pods == 1:
        return [rank, stopped]
    return [Drill("worker-pod-killed", _kill_pod, last, ("MemberDead", "MemberLost")), rank, engine, stopped]


class Stage:
    """Where drills of one layout happen; ``report`` gets each result as soon as it is there."""

    def __init__(
        self, layout: Layout, machine: Machine, model: Path, report: Callable[[str, Obj], None], folder: Path
    ) -> None:
        config = {"gpuMemoryPercent": _PERCENT, "enforceEager": True}
        cluster = resource(layout, machine, model, engine={"config": config}, health={"stallSeconds": STALL_SECONDS})
        self.group = Group(layout, machine, cluster, network=33, folder=folder)
        self._cluster = cluster
        self._model = model
        self._machine = machine
        self._tokens = _REHEARSED_TOKENS if machine.rehearsal else _TOKENS
        self._before = machine.used()
        self._report = report

    def start(self) -> float:
        """Seconds until the group serves, completions included."""
        began = time.monotonic()
        self.group.start()
        self.group.wait_ready()
        code, text = self._complete()
        if code != OK:
            raise RuntimeError(f"a ready group answers {code}: {text[:500]}")
        return round(time.monotonic() - began, 1)

    def memory(self) -> Obj:
        """The plan's estimate against what the engines of the last start have said."""
        return memory.compare(self._cluster, self._model, self.group, self._machine)

    def _complete(self) -> tuple[int, str]:
        url = f"http://{self.group.addresses[0]}:{self.group.engine_port}/v1/completions"
        return ask(url, {"model": "m", "prompt": "row", "max_tokens": 8, "ignore_eos": True}, timeout=60)

    def run(self, drills: list[Drill], *, left: Callable[[], float], needs: float) -> None:
        """All of them, and a drain at the end, as long as ``left`` says that there is time (seconds)."""
        first = self.start()
        for number, drill in enumerate(drills):
            if left() < needs:
                for skipped in drills[number:]:
                    self._report(skipped.name, {"not_run": "no time was left"})
                break
            found = self._one(drill)
            try:
                found["next_start_seconds"] = self.start()
            except RuntimeError as error:
                found |= {"next_start_failed": str(error)[-3000:], "passed": False}
                self._report(drill.name, found)
                raise
            self._report(drill.name, {**found, "start_seconds": first})
            first = found["next_start_seconds"]
        self._report("drain", self._drain())

    def _one(self, drill: Drill) -> Obj:
        group = self.group
        streams = [group.stream(self._tokens) for _ in range(_STREAMS)]
        time.sleep(2.0)
        group.remember()
        probe = Probe(group)
        time.sleep(0.3)
        fault = time.monotonic()
        what = drill.harm(group)
        out = probe.seconds_since(fault, limit=drill.limit + 20)
        codes = group.wait_ended(limit=60)
        ended = round(time.monotonic() - fault, 2)
        leftover = self._leftover()
        cause = first_cause([group.cause(index) for index in range(group.layout.pods)])
        right = cause is not None and cause["pod"] == group.pod(drill.pod) and cause["reason"] in drill.reasons
        cut = [stream for stream in streams if not stream.is_alive() and stream.fault]
        group.kill()
        clean = leftover["processes_gone_seconds"] is not None and leftover["memory_free_seconds"] is not None
        return {
            "fault": what,
            "out_of_rotation_seconds": out,
            "limit_seconds": drill.limit,
            "probe_said": probe.reason,
            "launchers_ended_seconds": ended,
            "exit_codes": codes,
            "first_cause": None if cause is None else {key: cause[key] for key in cause if key != "log"},
            "first_cause_right": right,
            **leftover,
            "streams_told_of_it": f"{len(cut)} of {_STREAMS}: {cut[0].fault[:200] if cut else ''}",
            "passed": out is not None and out <= drill.limit and right and clean,
        }

    def _leftover(self) -> Obj:
        gone = processes.seconds_until_gone(self.group.seen.values(), limit=_LEFT_SECONDS)
        free = self._machine.seconds_until_free(self._before, limit=_LEFT_SECONDS)
        return {
            "processes_gone_seconds": None if gone is None else round(gone, 2),
            "processes_left": [each.title[:80] for each in processes.alive(self.group.seen.values())],
            "memory_free_seconds": None if free is None else round(free, 2),
            "memory_used_bytes": self._machine.used(),
            "memory_used_before_bytes": self._before,
        }

    def _drain(self) -> Obj:
        """SIGTERM to every pod while streams run, as when the group is deleted."""
        group = self.group
        tokens = 100 if self._machine.rehearsal else 1000
        streams = [group.stream(tokens) for _ in range(2 * _STREAMS)]
        time.sleep(2.0)
        group.remember()
        running = sum(stream.is_alive() for stream in streams)
        began = time.monotonic()
        probe = Probe(group)
        codes = group.end()
        seconds = round(time.monotonic() - began, 1)
        for stream in streams:
            stream.join(5)
        lost = [stream.fault or f"{stream.tokens} tokens" for stream in streams if not stream.whole]
        leftover = self._leftover()
        out = probe.seconds_since(began, limit=0.0)
        group.kill()
        return {
            "streams": len(streams),
            "running_at_sigterm": running,
            "tokens_each": tokens,
            "lost": lost,
            "seconds": seconds,
            "exit_codes": codes,
            "out_of_rotation_seconds": out,
            **leftover,
            "passed": not lost and running == len(streams) and set(codes) == {0},
        }


def first_cause(messages: list[Obj | None]) -> Obj | None:
    """Of the pods' termination messages the one that an operator takes: the earliest that no other explains better."""
    said = [message for message in messages if message is not None]
    telling = [message for message in said if not message["reason"].startswith(("Member", "Leader"))]
    return min(telling or said, key=lambda message: str(message["at"]), default=None)
