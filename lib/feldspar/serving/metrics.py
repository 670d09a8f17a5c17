"""What Prometheus reads: requests, their latency, and features that had no value."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"
"""The folder in which several processes of one server keep their figures."""
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
        self._degraded = Counter(
            "feldspar_degraded_answers",
            "Answers given without Redis",
            ["service"],
            registry=self._registry,
        )

    def answered(self, route: str, status: int, *, seconds: float) -> None:
        """One request was answered."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def served(self, service: str, missing: Iterable[str], *, degraded: bool) -> None:
        """One answer: its features that had no value, and whether Redis was away."""
        for feature in missing:
            self._missing.labels(service, feature).inc()
        if degraded:
            self._degraded.labels(service).inc()

    def register(self, collector: Collector) -> None:
        """Adds figures that somebody else keeps."""
        self._registry.register(collector)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format; of all processes of this server."""
        if SHARED_METRICS not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


class Measured:
    """ASGI middleware: counts requests and their time by route."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            self._metrics.answered(route, status, seconds=time.perf_counter() - started)
