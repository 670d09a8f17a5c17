"""Makes ``training.<model>``: the labelled rows of a model with its service's features, one commit.

Executors write it; Python reads it with Arrow, at the version just written.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
from pyspark import StorageLevel

from feldspar.compute.services.batch import SpineColumns
from feldspar.errors import InputError
from feldspar.graph.graph import Model, Table
from feldspar.names import EVENT_TIME
from feldspar.stores.tables import arrow
from feldspar.stores.tables.spark import SparkTables
from feldspar.training.manifest import Manifest
from feldspar.training.periods import Periods
from feldspar.training.rows import (
    LABEL,
    LABEL_KNOWN,
    WEIGHT,
    Shares,
    as_sample,
    labelled_rows,
    sampled,
    shares,
)
from feldspar.training.samples import Progress, Sample
from feldspar.training.sets import build_training_set


@dataclass(frozen=True, eq=False)
class Gathered:
    """Rows to learn from and judge by.

    Attributes:
        sample: all of them, in the order of time.
        shares: which share of the table's rows they are.
        manifest: what they were made of.
        version: of ``training.<name>``.
    """

    sample: Sample
    shares: Shares
    manifest: Manifest
    version: int


def gather(
    model: Model,
    table: Table,
    tables: SparkTables,
    *,
    periods: Periods,
    name: str,
    max_rows: int,
    progress: Progress,
) -> Gathered:
    """Chooses the rows, joins their features and writes ``training.<name>``.

    Args:
        model: label, service, card column.
        table: the model's spine.
        tables: the lake.
        periods: which times matter.
        name: of the table that is written.
        max_rows: kept before the test, and in it.
        progress: told what is done.

    Raises:
        InputError: no row has a mature label in these periods.
    """
    source = f"silver.{table.name}"
    version = tables.version("silver", table.name)
    silver = tables.read("silver", table.name, version=version)
    rows = labelled_rows(model, table, silver, periods=periods).persist(
        StorageLevel.MEMORY_AND_DISK
    )
    chosen = shares(rows, max_rows=max_rows)
    if not chosen.rows:
        text = f"{source} has no rows with a mature label from {periods.everything}"
        raise InputError(text, hint="load more history, or shorten the model's periods")
    spine = sampled(rows, chosen, key=table.spec.key).persist(StorageLevel.MEMORY_AND_DISK)
    event = table if model.service.event == table.name else None
    ident = table.spec.key[0] if event is not None and len(table.spec.key) == 1 else None
    columns = SpineColumns(table.source.event_time, ident)
    answers, manifest = build_training_set(
        spine, model.service, tables, columns=columns, event=event
    )
    manifest = manifest.reading(source, version)
    progress(f"training set {name}: features of {manifest.spine_rows:,} rows of {source}")
    written = tables.overwrite(answers.frame(), "training", name, note=manifest.as_json())
    spine.unpersist()
    rows.unpersist()
    return Gathered(_read(model, tables, name, version=written), chosen, manifest, written)


def _read(model: Model, tables: SparkTables, name: str, *, version: int) -> Sample:
    card = [model.spec.card_column] if model.spec.card_column else []
    outputs = [one.name for one in model.service.outputs]
    wanted = dict.fromkeys([*outputs, EVENT_TIME, LABEL, LABEL_KNOWN, WEIGHT, *card])
    dataset = arrow.dataset(tables.lake, "training", name, version=version)
    found: pa.Table = dataset.to_table(columns=list(wanted))
    return as_sample(found, model)
