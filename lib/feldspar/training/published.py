"""``feldspar handbook``: the payments of the published dates from the lake, judged as published.

The features are those that the platform computes; the models are in ``training.handbook``.
"""

from __future__ import annotations

from feldspar.errors import InputError
from feldspar.graph.graph import Model, Table
from feldspar.stores.tables.spark import SparkTables
from feldspar.training.gathering import gather
from feldspar.training.handbook import HEADER, Comparison, compare, periods
from feldspar.training.samples import Progress

_EVERYTHING = 10_000_000


def compare_with_published(
    model: Model, table: Table, tables: SparkTables, *, progress: Progress
) -> tuple[Comparison, ...]:
    """Published figures beside ours; writes ``training.handbook``.

    Args:
        model: payment_fraud: its service's features, its label and its card column are used.
        table: silver.transactions with the published payments.
        tables: the lake.
        progress: told the table, line by line.

    Raises:
        InputError: the lake does not hold payments of the published dates.
    """
    spans = periods()
    try:
        gathered = gather(
            model,
            table,
            tables,
            periods=spans,
            name="handbook",
            max_rows=_EVERYTHING,
            progress=progress,
        )
    except InputError as error:
        hint = "load the published payments: make run INPUT=transactions.parquet"
        raise InputError(error.message, hint=hint) from error
    sample = gathered.sample
    progress(f"train {spans.fit}, test {spans.test}, {len(sample):,} payments; ours: medians")
    progress(HEADER)
    return compare(sample, progress=progress)
