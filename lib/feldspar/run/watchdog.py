"""Ends the process of a stream whose round takes too long, whatever it is that hangs.

A step that waits for a store or for Spark cannot be told to stop. A thread of its own looks at the
clock, says which steps were running and since when, and ends the process. What was committed
stays; the next run goes on from there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Thread, Timer

from feldspar.run.running import Begun, Running
from feldspar.stores.tables import steps
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.steps import StepRow
from feldspar.times import format_duration, utc_now

EXIT_CODE = 1
UNDER_A_JVM = "PYSPARK_GATEWAY_PORT"
"""The variable that a driver has whose parent is spark-submit's JVM."""
_SECONDS_TO_NOTE = 10.0
"""How long the lake may take to note what was stuck: it may be what hangs."""
_REAPER = """\
import psutil, sys
try:
    launcher = psutil.Process(int(sys.argv[1]))
    launcher.wait(float(sys.argv[2]))
except psutil.TimeoutExpired:
    launcher.kill()
except psutil.NoSuchProcess:
    pass
"""
"""Outlives this process. psutil kills no stranger that was given the number since."""


@dataclass(frozen=True)
class Watchdog:
    """Allows a round of a stream so long.

    Attributes:
        running: knows which steps run.
        lake: where what was stuck is noted.
        epoch: of the run.
        bound: how long a round may take.
        patience: how long spark-submit's JVM may take to end after its driver, before it is
            killed: it may be what hangs.
    """

    running: Running
    lake: Lake
    epoch: int
    bound: timedelta
    patience: timedelta = timedelta(seconds=60)

    @contextmanager
    def over(self, number: int) -> Iterator[None]:
        """While it lasts, the round runs."""
        timer = Timer(self.bound.total_seconds(), self._end_process, [number])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end_process(self, number: int) -> None:
        """Nothing is asked to stop: neither finalizers nor other threads may hold it up."""
        running, now = self.running.now(), utc_now()
        lines = told(running, bound=self.bound, number=number, now=now)
        sys.stderr.writelines(f"{line}\n" for line in lines)
        sys.stderr.flush()
        rows = stuck_rows(running, epoch=self.epoch, number=number, now=now)
        if rows:
            noting = Thread(target=steps.append, args=[self.lake, rows], daemon=True)
            noting.start()
            noting.join(_SECONDS_TO_NOTE)
        if UNDER_A_JVM in os.environ:
            seconds = str(self.patience.total_seconds())
            reaper = [sys.executable, "-c", _REAPER, str(os.getppid()), seconds]
            nowhere = subprocess.DEVNULL
            subprocess.Popen(
                reaper, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True
            )
        os._exit(EXIT_CODE)


def told(running: Sequence[Begun], *, bound: timedelta, number: int, now: datetime) -> list[str]:
    """What is said of a round that took too long."""
    lines = [f"round {number} is stuck: not done after {format_duration(bound)}; the process ends"]
    for one in running:
        seconds = (now - one.started).total_seconds()
        lines.append(
            f"  {one.step.verb} {one.step.name} runs since {one.started:%Y-%m-%d %H:%M:%S}Z "
            f"({seconds:,.0f} s)"
        )
    if not running:
        lines.append("  no step was running: a store that was asked what waits did not answer")
    lines.append("  what was committed stays; see: feldspar doctor; go on with: feldspar stream")
    lines.append(
        "  a first round over much data may need longer: --stuck-after 6h, or feldspar apply"
    )
    return lines


def stuck_rows(
    running: Sequence[Begun], *, epoch: int, number: int, now: datetime
) -> list[StepRow]:
    """Steps that were given up, as rows of ``ops.steps``."""
    return [
        StepRow(
            run=epoch,
            round=number,
            verb=one.step.verb,
            step=one.step.name,
            started_at=one.started,
            seconds=(now - one.started).total_seconds(),
            outcome="stuck",
            error="its round took longer than --stuck-after",
        )
        for one in running
    ]
