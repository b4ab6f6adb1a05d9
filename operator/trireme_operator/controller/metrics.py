"""The operator's own Prometheus metrics, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from trireme_operator.collector.collector import Collector
from trireme_operator.controller.queue import KeyedQueue

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)


class Metrics:
    """Counters and histograms that the controller fills; the queue's gauges are read when they are scraped."""

    def __init__(self, queue: KeyedQueue) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "trireme_reconcile", "Reconciles by result (success, error, gone)", ["result"], registry=self.registry
        )
        self.reconcile_seconds = Histogram(
            "trireme_reconcile_seconds", "Duration of a reconcile", buckets=_SECONDS, registry=self.registry
        )
        self.api_requests = Counter(
            "trireme_api_requests",
            "Calls to the Kubernetes API by verb, kind and status code",
            ["verb", "kind", "code"],
            registry=self.registry,
        )
        self.api_request_seconds = Histogram(
            "trireme_api_request_seconds",
            "Duration of a call to the Kubernetes API",
            ["verb"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.watch_events = Counter(
            "trireme_watch_events",
            "Events received, by kind and type",
            ["kind", "type"],
            registry=self.registry,
        )
        self.events = Counter(
            "trireme_events", "Events about resources by result (written, dropped)", ["result"], registry=self.registry
        )
        self.collector_reads = Counter(
            "trireme_collector_reads",
            "Reads of launchers by outcome (ok, silent, refused)",
            ["outcome"],
            registry=self.registry,
        )
        self.permits = Counter(
            "trireme_permits",
            "Answers to launchers that asked whether to start (start, wait) or to end (end, stay), or were not answered"
            " (unready, standby, bad)",
            ["answer"],
            registry=self.registry,
        )
        self.registered = Gauge(
            "trireme_metricsapi_registered", "1 while the metrics server is registered", registry=self.registry
        )
        self.leader = Gauge("trireme_leader", "1 while this process holds the Lease and writes", registry=self.registry)
        depth = Gauge("trireme_queue_depth", "Keys that wait for a worker", registry=self.registry)
        depth.set_function(lambda: queue.depth)
        oldest = Gauge("trireme_queue_oldest_seconds", "Age of the oldest waiting key", registry=self.registry)
        oldest.set_function(lambda: queue.oldest_seconds)

    def watch(self, collector: Collector) -> None:
        """Show how many launchers are asked, how often, and how many of them are silent."""
        schedule, registry = collector.schedule, self.registry
        launchers = Gauge("trireme_collector_launchers", "Launchers that are asked what they do", registry=registry)
        launchers.set_function(lambda: len(schedule))
        silent = Gauge("trireme_collector_silent", "Launchers that gave no good answer last", registry=registry)
        silent.set_function(lambda: collector.silent)
        interval = Gauge(
            "trireme_collector_interval_seconds",
            "Between two reads of a launcher: of a zone's sentinel, and of any other",
            ["launcher"],
            registry=registry,
        )
        interval.labels("sentinel").set_function(lambda: schedule.sentinel_seconds)
        interval.labels("other").set_function(lambda: schedule.other_seconds)
        oldest = Gauge(
            "trireme_collector_oldest_seconds",
            "Age of the oldest answer of a launcher that is not silent",
            registry=registry,
        )
        oldest.set_function(lambda: collector.oldest_seconds)

    def observe_call(self, verb: str, kind: str, code: str, seconds: float) -> None:
        """As `trireme_operator.kube.CallObserverFn`."""
        self.api_requests.labels(verb, kind, code).inc()
        self.api_request_seconds.labels(verb).observe(seconds)

    def saw(self, kind: str, event_type: str) -> None:
        """Count one watch event."""
        self.watch_events.labels(kind, event_type).inc()
