"""Is the engine stuck? Judged from outside: requests run, and nothing that a step of the engine changes does change.

The engine's ``/health`` does not say: it stays 200 while a step hangs. vLLM writes its metrics when a step has ended:
a step that made tokens counts them, and a step of a long prefill, which makes none, still sets the gauges of the
scheduler, among them the share of the KV cache in use, which grows with each piece of the prompt (vllm/v1/metrics/
loggers.py and vllm/v1/core/sched/scheduler.py of 0.32). So all of these together stand still only when no step ends.
Requests that the front end alone ends (a client has gone) are not among them.

What is not seen: a step that hangs when nothing ran before it, as the engine then still reports that nothing runs. The
engine's own limit for a step (VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS) ends that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from trireme_runtime import metrics

_RUNNING = "vllm:num_requests_running"
_FINISHED = "vllm:request_success_total"
_MARKS = (
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:iteration_tokens_total_sum",
    "vllm:iteration_tokens_total_count",
    "vllm:num_preemptions_total",
    "vllm:prefix_cache_queries_total",
)
_ENGINE = re.compile(r'engine="([^"]*)"')
_UNFINISHED_REASON = re.compile(r'finished_reason="(?:abort|error)"')


@dataclass(frozen=True)
class Sample:
    """What one engine (a data parallel rank) said of itself: requests running, requests completed, the marks."""

    running: int
    completed: int
    marks: tuple[float, ...]

    @property
    def state(self) -> tuple[float, ...]:
        """All that a step changes."""
        return (self.running, *self.marks)


@dataclass(frozen=True)
class Stall:
    """``since`` on the monotonic clock, and the requests that wait for the engine's next step."""

    since: float
    running: int


def unexplained(stall: Stall, heard_since: float, *, now: float, limit: float) -> Stall | None:
    """What is left of a stall, as long as all members have been heard since.

    An engine whose member is away cannot end a step: that is a silence, which has a limit of its own, and may end
    without any loss. When the member is back, the engine gets as long as ever to go on.
    """
    since = max(stall.since, heard_since)
    return Stall(since, stall.running) if now - since >= limit else None


def samples(engine_metrics: str) -> dict[str, Sample]:
    """By the label ``engine``; an engine that does not say how many requests it runs is left out."""
    values: dict[str, dict[str, float]] = {}
    completed: dict[str, float] = {}
    for name, labels, value in metrics.parse(engine_metrics, {_RUNNING, *_MARKS, _FINISHED}):
        found = _ENGINE.search(labels)
        engine = found.group(1) if found else ""
        if name == _FINISHED:
            if not _UNFINISHED_REASON.search(labels):
                completed[engine] = completed.get(engine, 0.0) + value
            continue
        marks = values.setdefault(engine, {})
        marks[name] = marks.get(name, 0.0) + value
    return {
        engine: Sample(
            int(marks[_RUNNING]), int(completed.get(engine, 0)), tuple(marks.get(name, 0.0) for name in _MARKS)
        )
        for engine, marks in values.items()
        if _RUNNING in marks
    }


class StallWatch:
    """Judges the engines of one pod; times are seconds on the monotonic clock, given with each sample."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._engines: dict[str, _Engine] = {}

    def observe(self, seen: Mapping[str, Sample], now: float) -> None:
        """The engines' samples; one without any says nothing, so that a lost answer is not taken for a stall."""
        engines = dict(self._engines)
        for name, sample in seen.items():
            last = engines.get(name)
            stands = last is not None and sample.running > 0 and sample.state == last.sample.state
            engines[name] = _Engine(sample, last.moved if last is not None and stands else now, now)
        self._engines = engines  # as a whole: another thread reads it

    def stall(self) -> Stall | None:
        """The longest stall there is. An engine that has never completed a request may still compile: it has none."""
        stuck = [
            each
            for each in self._engines.values()
            if each.sample.completed and each.seen - each.moved >= self._stall_seconds
        ]
        if not stuck:
            return None
        return Stall(min(each.moved for each in stuck), sum(each.sample.running for each in stuck))

    def has_moved_since(self, moment: float) -> bool:
        """Whether each engine has ended a step, or had nothing to do, after ``moment``; one that never spoke has."""
        return all(each.moved >= moment for each in self._engines.values())


@dataclass(frozen=True)
class _Engine:
    """``moved``: when the marks last changed or nothing ran; ``seen``: when ``sample`` was taken."""

    sample: Sample
    moved: float
    seen: float
