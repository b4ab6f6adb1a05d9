"""Continuous batching without a model: each step gives every running request one token.

All streams share one timer, so a hundred of them cost one wake-up a step.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tests.double.controls import Controls
from tests.double.measure import Metrics

_KV_TOKENS = 1 << 18


class Sink(Protocol):
    """Who gets a request's tokens: one call a token, then ``finish`` or ``fail`` once."""

    def token(self, index: int) -> None: ...
    def finish(self, reason: str) -> None: ...
    def fail(self, message: str) -> None: ...


@dataclass(eq=False)
class Generation:
    """One request; ``limit`` tokens at most, after which it ends with ``limit_reason`` (length or stop)."""

    prompt_tokens: int
    limit: int
    limit_reason: str
    sink: Sink
    arrived: float = field(default_factory=time.monotonic)
    admitted: float = 0.0
    first: float = 0.0
    last: float = 0.0
    produced: int = 0


@dataclass(frozen=True)
class Told:
    """What an engine says of itself: as it was when the last step ended, so that all of it stands still in a hang."""

    running: int = 0
    waiting: int = 0
    kv_usage: float = 0.0


class Scheduler:
    """``broken`` says why no step can be made any more (a dead worker); the first failed step calls ``on_dead``."""

    def __init__(self, *, max_running: int, controls: Controls, metrics: Metrics, on_dead: Callable[[], None]) -> None:
        self._max_running = max_running
        self._controls = controls
        self._metrics = metrics
        self._on_dead = on_dead
        self._running: list[Generation] = []
        self._waiting: deque[Generation] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._stuck_since: float | None = None
        self._went_idle = asyncio.Event()
        self.told = Told()
        self.broken = ""
        self.dead = False

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def kv_usage(self) -> float:
        return min(1.0, sum(each.prompt_tokens + each.produced for each in self._running) / _KV_TOKENS)

    def add(self, generation: Generation) -> None:
        self._waiting.append(generation)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(0, self._step)

    async def idle(self) -> None:
        """Wait until nothing runs or waits."""
        while self._running or self._waiting:
            self._went_idle.clear()
            await self._went_idle.wait()

    def abort(self, generation: Generation) -> None:
        """Its client has gone."""
        if generation in self._running:
            self._running.remove(generation)
        elif generation in self._waiting:
            self._waiting.remove(generation)
        else:
            return
        self._count_finished("abort")

    def fail_all(self, message: str, *, reason: str) -> None:
        victims = [*self._running, *self._waiting]
        self._running.clear()
        self._waiting.clear()
        for generation in victims:
            self._count_finished(reason)
            generation.sink.fail(message)

    def _step(self) -> None:
        started = time.monotonic()
        self._timer = None
        if not self._controls.hang:  # a step that does not end takes up nothing new either
            while self._waiting and len(self._running) < self._max_running:
                self._admit(self._waiting.popleft(), started)
            if self._running:
                self._advance(started)
            self.told = Told(self.running, self.waiting, self.kv_usage)
        if self._running or self._waiting:
            delay = max(0.0, started + self._controls.step - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._step)
        else:
            self._went_idle.set()

    def _admit(self, generation: Generation, now: float) -> None:
        generation.admitted = now
        self._running.append(generation)
        self._metrics.counters["prompt_tokens"] += generation.prompt_tokens
        self._metrics.counters["prefix_cache_queries"] += generation.prompt_tokens
        self._metrics.histograms["request_queue_time_seconds"].observe(now - generation.arrived)

    def _advance(self, now: float) -> None:
        if self.broken:
            self._advance_broken(now)
            return
        produced = 0
        done: list[Generation] = []
        for generation in self._running:
            if not generation.produced and now - generation.admitted < self._controls.prefill:
                continue
            produced += 1
            self._produce(generation, now)
            if generation.produced >= generation.limit:
                done.append(generation)
        if produced:
            self._metrics.counters["generation_tokens"] += produced
            self._metrics.histograms["iteration_tokens_total"].observe(produced)
        for generation in done:
            self._running.remove(generation)
            self._finish(generation)

    def _advance_broken(self, now: float) -> None:
        """gloo fails the step at once; NCCL leaves it hanging until the executor's own time limit."""
        if self._controls.peer_death_hangs:
            self._stuck_since = self._stuck_since or now
            if now - self._stuck_since < self._controls.step_timeout:
                return
        self.dead = True
        self.fail_all(f"EngineCore encountered an issue: {self.broken}", reason="error")
        self._on_dead()

    def _produce(self, generation: Generation, now: float) -> None:
        histograms = self._metrics.histograms
        if generation.produced:
            histograms["inter_token_latency_seconds"].observe(now - generation.last)
        else:
            generation.first = now
            histograms["time_to_first_token_seconds"].observe(now - generation.arrived)
            histograms["request_prefill_time_seconds"].observe(now - generation.admitted)
        generation.last = now
        generation.sink.token(generation.produced)
        generation.produced += 1

    def _finish(self, generation: Generation) -> None:
        now = time.monotonic()
        decode = generation.last - generation.first
        values = {
            "e2e_request_latency_seconds": now - generation.arrived,
            "request_inference_time_seconds": now - generation.admitted,
            "request_decode_time_seconds": decode,
            "request_time_per_output_token_seconds": decode / max(1, generation.produced - 1),
            "request_prompt_tokens": generation.prompt_tokens,
            "request_generation_tokens": generation.produced,
        }
        for name, value in values.items():
            self._metrics.histograms[name].observe(value)
        self._count_finished(generation.limit_reason)
        generation.sink.finish(generation.limit_reason)

    def _count_finished(self, reason: str) -> None:
        self._metrics.finished[reason] = self._metrics.finished.get(reason, 0) + 1
