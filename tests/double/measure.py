"""vLLM's metrics by vLLM's names, counted from what the double really does (labels ``model_name`` and ``engine``)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

_SECONDS = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
)
_TOKENS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0)
_ITERATION = (1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0)

SECONDS_HISTOGRAMS = (
    "time_to_first_token_seconds",
    "inter_token_latency_seconds",
    "request_time_per_output_token_seconds",
    "e2e_request_latency_seconds",
    "request_queue_time_seconds",
    "request_inference_time_seconds",
    "request_prefill_time_seconds",
    "request_decode_time_seconds",
)
TOKENS_HISTOGRAMS = ("request_prompt_tokens", "request_generation_tokens")
COUNTERS = (
    "prefix_cache_queries",
    "prefix_cache_hits",
    "external_prefix_cache_queries",
    "external_prefix_cache_hits",
    "num_preemptions",
    "prompt_tokens",
    "generation_tokens",
)


class Histogram:
    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> Iterable[str]:
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            edge = "+Inf" if bound == float("inf") else str(bound)
            yield f'{name}_bucket{{le="{edge}",{labels}}} {total}'
        yield f"{name}_count{{{labels}}} {total}"
        yield f"{name}_sum{{{labels}}} {self._sum}"


class Metrics:
    """All of them; ``counters`` and ``finished`` (requests by finished_reason) are counted up directly."""

    def __init__(self, model_name: str) -> None:
        self._labels = f'engine="0",model_name="{model_name}"'
        self.histograms = {name: Histogram(_SECONDS) for name in SECONDS_HISTOGRAMS}
        self.histograms |= {name: Histogram(_TOKENS) for name in TOKENS_HISTOGRAMS}
        self.histograms["iteration_tokens_total"] = Histogram(_ITERATION)
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.finished: dict[str, int] = {}

    def text(self, *, running: int, waiting: int, kv_usage: float) -> bytes:
        lines: list[str] = []
        gauges = {
            "num_requests_running": running,
            "num_requests_waiting": waiting,
            "kv_cache_usage_perc": kv_usage,
        }
        for name, value in gauges.items():
            lines += [f"# TYPE vllm:{name} gauge", f"vllm:{name}{{{self._labels}}} {float(value)}"]
        lines.append("# TYPE vllm:num_requests_waiting_by_reason gauge")
        for reason, value in (("capacity", waiting), ("deferred", 0)):
            lines.append(f'vllm:num_requests_waiting_by_reason{{{self._labels},reason="{reason}"}} {float(value)}')
        for name, count in self.counters.items():
            lines += [f"# TYPE vllm:{name} counter", f"vllm:{name}_total{{{self._labels}}} {float(count)}"]
        lines.append("# TYPE vllm:request_success counter")
        for reason, count in self.finished.items():
            lines.append(f'vllm:request_success_total{{{self._labels},finished_reason="{reason}"}} {float(count)}')
        for name, histogram in self.histograms.items():
            lines += [f"# TYPE vllm:{name} histogram", *histogram.lines(f"vllm:{name}", self._labels)]
        return ("\n".join(lines) + "\n").encode()
