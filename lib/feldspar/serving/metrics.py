"""What Prometheus reads: requests, their latency, and features that had no value."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class Metrics:
    """The figures of one app, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "feldspar_requests",
            "Requests answered",
            ["route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "feldspar_request_seconds",
            "Time to answer",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._missing = Counter(
            "feldspar_missing_features",
            "Features served without a value",
            ["service", "feature"],
            registry=self._registry,
        )

    def answered(self, route: str, status: int, *, seconds: float) -> None:
        """One request was answered."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def missing(self, service: str, features: Iterable[str]) -> None:
        """Features of one answer had no value."""
        for feature in features:
            self._missing.labels(service, feature).inc()

    def register(self, collector: Collector) -> None:
        """Adds figures that somebody else keeps."""
        self._registry.register(collector)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)
