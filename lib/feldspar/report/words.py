"""How figures, outcomes and names read in the summary and on the page."""

from __future__ import annotations

from feldspar.report.record import RunRecord

_METRICS = {
    "auc": "AUC",
    "average_precision": "average precision",
    "card_precision_100": "card precision@100",
    "brier": "Brier",
    "prevalence": "prevalence",
    "rows": "rows",
    "positives": "positives",
}
_COUNTS = ("rows", "positives")


def headline(record: RunRecord) -> str:
    """The run in one line."""
    where = f"{record.environment}, namespace {record.namespace}"
    if record.idle:
        return f"Nothing to do in {where}: every table, model and key is up to date."
    state = "failed" if record.failure else "done"
    steps = f"{len(record.done)} step{'' if len(record.done) == 1 else 's'}"
    return f"Run {state} in {where}: {steps} in {duration(record.seconds)}"


def count(number: int | None) -> str:
    """A number of rows; a dash where there is none.

    >>> count(1754155), count(None)
    ('1,754,155', '-')
    """
    return "-" if number is None else f"{number:,}"


def seconds(number: float | None) -> str:
    """Seconds of a step; a dash where it did not run."""
    return "-" if number is None else f"{number:.1f}"


def duration(number: float) -> str:
    """A length of time for people.

    >>> duration(12.34), duration(221.0)
    ('12.3 s', '3 min 41 s')
    """
    if number < 60:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    return f"{minutes} min {rest} s"


def figure(number: float) -> str:
    """A figure between 0 and 1.

    >>> figure(0.87123)
    '0.871'
    """
    return f"{number:.3f}"


def metric_value(name: str, number: float) -> str:
    """A metric's figure; numbers of rows are whole.

    >>> metric_value("auc", 0.87123), metric_value("positives", 1204.0)
    ('0.871', '1,204')
    """
    return f"{number:,.0f}" if name in _COUNTS else figure(number)


def metric_name(name: str) -> str:
    """A metric as it is called in the literature."""
    return _METRICS.get(name, name.replace("_", " "))
