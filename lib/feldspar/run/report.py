"""After a run: its record, the page and the summary, and then the failure, if there was one."""

from __future__ import annotations

from typing import Any

from feldspar.report.page import write_report
from feldspar.report.summary import print_summary
from feldspar.run.execute import Run
from feldspar.run.record import make_record
from feldspar.run.workplace import Workplace


def report_on(run: Run, work: Workplace) -> dict[str, Any]:
    """Writes and prints what a run did.

    Raises:
        FeldsparError: the run's own failure, after it was reported.
    """
    record = make_record(run, work)
    page = write_report(record, work.environment.state_folder / "runs")
    print_summary(record)
    if run.failure is not None:
        raise run.failure
    return {
        "run": record.key,
        "report": str(page),
        "steps": [
            {
                "step": one.name,
                "verb": one.verb,
                "outcome": one.outcome.value,
                "seconds": one.seconds,
            }
            for one in record.steps
        ],
    }
