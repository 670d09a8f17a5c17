"""What becomes of the served log, for Prometheus: nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from feldspar.serving.served import ServedLog


class ServedLogCollector(Collector):
    """Reads a log's figures whenever Prometheus asks; register it with the app's registry."""

    def __init__(self, log: ServedLog) -> None:
        self._log = log

    def collect(self) -> Iterator[Metric]:
        """Written, dropped and waiting answers, and writes that failed, by service."""
        written = CounterMetricFamily(
            "feldspar_served_log_written", "Answers written to the inbox", labels=["service"]
        )
        dropped = CounterMetricFamily(
            "feldspar_served_log_dropped",
            "Answers lost: there was no room while the store was away, or they were no rows",
            labels=["service"],
        )
        waiting = GaugeMetricFamily(
            "feldspar_served_log_waiting", "Answers that wait to be written", labels=["service"]
        )
        failures = CounterMetricFamily(
            "feldspar_served_log_failures", "Writes that failed", labels=["service"]
        )
        for service, found in self._log.figures().items():
            written.add_metric([service], found.written)
            dropped.add_metric([service], found.dropped)
            waiting.add_metric([service], found.waiting)
            failures.add_metric([service], found.failures)
        yield from (written, dropped, waiting, failures)
