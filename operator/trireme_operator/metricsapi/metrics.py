"""The metrics server's own Prometheus metrics, in a registry of its own."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from trireme_operator.metricsapi.identity import Keeper
from trireme_operator.metricsapi.scrape import Scraper

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)


class Metrics:
    """Counters that the server fills; gauges are read when they are scraped."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "trireme_metricsapi_requests", "Answers by status code", ["code"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "trireme_metricsapi_request_seconds", "Time to answer", buckets=_SECONDS, registry=self.registry
        )
        self.reads = Counter(
            "trireme_metricsapi_reads",
            "Reads of leaders' launchers by outcome (ok, silent, refused)",
            ["outcome"],
            registry=self.registry,
        )

    def watch(self, scraper: Scraper, keeper: Keeper) -> None:
        """Show how many leaders are asked, how often, how many are fresh, and how long the certificate lasts."""
        registry, schedule = self.registry, scraper.schedule
        leaders = Gauge("trireme_metricsapi_leaders", "Leaders that are asked", registry=registry)
        leaders.set_function(lambda: len(scraper.leaders))
        fresh = Gauge("trireme_metricsapi_leaders_fresh", "Leaders with a queue length that counts", registry=registry)
        fresh.set_function(lambda: scraper.leaders.spoken(since=scraper.since))
        interval = Gauge("trireme_metricsapi_interval_seconds", "Longest time between two reads", registry=registry)
        interval.set_function(lambda: max(schedule.sentinel_seconds, schedule.other_seconds))
        left = Gauge("trireme_metricsapi_certificate_seconds", "Until the certificate in use ends", registry=registry)
        left.set_function(lambda: keeper.current.serving.ends.timestamp() - time.time() if keeper.current else 0.0)

    def answered(self, code: str, seconds: float) -> None:
        """Count one answer."""
        self.requests.labels(code).inc()
        self.request_seconds.observe(seconds)
