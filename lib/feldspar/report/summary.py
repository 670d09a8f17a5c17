"""A run in the terminal: what was done, what was refused, which model decides, where to look.

Fits 100 columns and reads the same without colours; every figure here is on the page too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from feldspar.report.record import Outcome, RunRecord, StepRecord, TrainingSummary
from feldspar.report.words import count, figure, headline, metric_name, seconds

WIDTH = 100
SHOWN_REASONS = 15
METRICS = {
    "auc": "AUC",
    "average_precision": "AP",
    "card_precision_100": "CP@100",
    "brier": "Brier",
}
QUALITY = "quality"


def print_summary(record: RunRecord, console: Console | None = None) -> None:
    """Prints the record.

    Args:
        record: the run.
        console: where to; standard error by default, so that a verb's answer stays alone on
            standard output.
    """
    target = console or _stderr()
    target.print()
    target.print(headline(record), style="bold")
    if record.failure:
        target.print(f"failed: {record.failure}", style="red")
    for table in _tables(record):
        target.print(table)
    for training in record.trainings:
        for line in _training_lines(training):
            target.print(line)
    if record.places:
        target.print()
    for place in record.places:
        target.print(f" {place.what:<20} {place.where}", soft_wrap=True)


def _stderr() -> Console:
    # a pipe has no width: rich would take 80 for it
    width = None if sys.stderr.isatty() else WIDTH
    console = Console(stderr=True, highlight=False, markup=False, width=width)
    console.width = min(console.width, WIDTH)
    return console


def _tables(record: RunRecord) -> Iterator[Table]:
    steps = [*_step_rows(record)]
    if steps:
        yield _table(
            ("step", "outcome", "rows in", "rows out", "seconds", "note"),
            steps,
            numbers=("rows in", "rows out", "seconds"),
        )
    if record.reasons:
        yield _table(("quarantine of", "reason", "rows"), _reason_rows(record), numbers=("rows",))
    if record.set_aside:
        files = [(one.source, one.file, one.error) for one in record.set_aside]
        yield _table(("set aside from", "file", "error"), files)
    if record.broken_expectations:
        broken = [
            (one.table, f"{one.expectation} {one.column}".strip(), one.detail)
            for one in record.broken_expectations
        ]
        yield _table(("expectation of", "not met", "found"), broken)
    if record.trainings:
        columns = ("model", "version", "learner", *METRICS.values(), "")
        rows = [_model_row(one) for one in record.trainings]
        yield _table(columns, rows, numbers=tuple(METRICS.values()))


def _step_rows(record: RunRecord) -> Iterator[tuple[str, ...]]:
    """Every step that ran or should have; checks of tables in one line, as most hold."""
    for step in record.steps:
        if step.verb != QUALITY and step.outcome not in (Outcome.NOTHING, Outcome.OFF):
            yield _step_row(step)
    checks = [step for step in record.done if step.verb == QUALITY]
    if checks:
        broken = len({one.table for one in record.broken_expectations})
        note = f"not met in {broken} of them" if broken else "all are met"
        spent = sum(step.seconds or 0.0 for step in checks)
        name = f"expectations of {len(checks)} table{'' if len(checks) == 1 else 's'}"
        yield _step_row(StepRecord(QUALITY, name, Outcome.DONE, seconds=spent, note=note))


def _step_row(step: StepRecord) -> tuple[str, ...]:
    rows = (count(step.rows_in), count(step.rows_out), seconds(step.seconds))
    return (step.name, step.outcome.value, *rows, step.note)


def _reason_rows(record: RunRecord) -> list[tuple[str, str, str]]:
    ranked = sorted(record.reasons, key=lambda one: -one.rows)
    rows = [(one.table, one.reason, count(one.rows)) for one in ranked[:SHOWN_REASONS]]
    others = ranked[SHOWN_REASONS:]
    if others:
        total = sum(one.rows for one in others)
        rows.append(("", f"{len(others)} other reasons: see the report", count(total)))
    return rows


def _model_row(one: TrainingSummary) -> tuple[str, ...]:
    figures = (figure(one.metrics[name]) if name in one.metrics else "-" for name in METRICS)
    state = "champion" if one.promoted else "not promoted"
    return (one.model, one.version, one.chosen, *figures, state)


def _training_lines(one: TrainingSummary) -> Iterator[str]:
    scores = ", ".join(
        f"{other.learner} {figure(other.score)} ({other.trials} trials)" for other in one.learners
    )
    yield f" {one.model}: {one.decision}"
    if scores:
        yield f"   {metric_name(one.optimised)} on validation: {scores}"


def _table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str] = ()
) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        number = column in numbers
        table.add_column(
            column,
            justify="right" if number else "left",
            overflow="fold",
            # names are what one searches for: they are not cut in two
            no_wrap=number or place == 0,
        )
    for row in rows:
        table.add_row(*row)
    return table
