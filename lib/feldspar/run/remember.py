"""Enters what a run, or a round of a stream, did in ``ops.steps``; no Spark takes part.

What is entered is for people and dashboards: a store that fails here fails no run.
"""

from __future__ import annotations

from collections.abc import Iterator

from feldspar.errors import StoreError
from feldspar.run.counts import counts_of
from feldspar.run.execute import Done, Failed, Run
from feldspar.run.workplace import Workplace
from feldspar.stores.tables import steps
from feldspar.stores.tables.steps import StepRow

_LONGEST = 500


def remember(run: Run, work: Workplace, *, number: int = 0) -> None:
    """Appends the steps of a run in one commit.

    Args:
        run: what was carried out, to its end or not.
        work: of a run that writes (``Workplace.in_epoch``).
        number: of the round of a stream; 0 for a run that has none.
    """
    rows = list(step_rows(run, epoch=work.tables.epoch, number=number))
    if not rows:
        return
    try:
        steps.append(work.tables.lake, rows)
    except StoreError as error:
        work.say(f"ops.steps lacks this run: {error.message}")


def step_rows(run: Run, *, epoch: int, number: int) -> Iterator[StepRow]:
    """A row for each step that was carried out, well or not."""
    for done in run.done:
        yield _done(done, epoch=epoch, number=number)
    for failed in run.failures:
        yield _failed(failed, epoch=epoch, number=number)


def first_line(text: str) -> str:
    """What an error says in one line."""
    return text.strip().partition("\n")[0][:_LONGEST]


def _done(done: Done, *, epoch: int, number: int) -> StepRow:
    counts = counts_of(done.result)
    return StepRow(
        run=epoch,
        round=number,
        verb=done.step.verb,
        step=done.step.name,
        started_at=done.started,
        seconds=done.seconds,
        rows_in=counts.rows_in,
        rows_out=counts.rows_out,
        refused=counts.refused,
        version=counts.version,
        outcome="nothing" if done.result is None else "done",
    )


def _failed(failed: Failed, *, epoch: int, number: int) -> StepRow:
    return StepRow(
        run=epoch,
        round=number,
        verb=failed.step.verb,
        step=failed.step.name,
        started_at=failed.started,
        seconds=failed.seconds,
        outcome="failed",
        error=first_line(failed.error.message),
    )
