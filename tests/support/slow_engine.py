"""A rival that answers only when it is asked to, for tests of the benchmark's own process."""

from __future__ import annotations

import threading
from pathlib import Path

from bench.inputs import PaymentData
from bench.rivals.engine import Engine, Job


class SlowEngine(Engine[PaymentData]):
    """Runs as many seconds as the option ``seconds`` says; fails without it."""

    def prepare(self, data: PaymentData, layout: Path) -> None:
        (layout / "prepared").write_text(data.name)

    def run(self, job: Job[PaymentData]) -> None:
        print("what a rival prints is not an answer")  # noqa: T201
        threading.Event().wait(float(job.options["seconds"]))
