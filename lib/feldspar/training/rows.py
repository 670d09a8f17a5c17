"""The rows a model is trained and judged on: events of silver with labels, as of the cut.

An event is as a request brought it (its first version); its label is that of its newest version
known at the cut, and counts from the time that this version and the label were known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feldspar.compute.columns import find, instants
from feldspar.compute.expressions.spark import column
from feldspar.compute.scoring import model_input
from feldspar.graph.compile import label_delay
from feldspar.graph.graph import Model, Table
from feldspar.names import BATCH, EVENT_TIME, KNOWN_TIME, POSITION
from feldspar.times import duration_micros
from feldspar.training.periods import Periods
from feldspar.training.samples import Sample

LABEL, LABEL_KNOWN, WEIGHT, GROUP = "_label", "_label_known", "_weight", "_group"
PAST, DELAY, TEST = "past", "delay", "test"
_SLICES = 1_000_000


@dataclass(frozen=True)
class Shares:
    """How many rows of each kind there are, and which share of them is kept.

    Attributes:
        rows: (period, label) to rows.
        kept: (period, label) to a share from 0 to 1.
    """

    rows: Mapping[tuple[str, bool], int]
    kept: Mapping[tuple[str, bool], float]

    def complete(self, period: str) -> bool:
        """Whether every row of a period is kept."""
        return all(share >= 1.0 for (name, _), share in self.kept.items() if name == period)

    def told(self) -> str:
        """What was left out, in words; empty where nothing was."""
        parts = [
            f"{share:.1%} of the {self.rows[kind]} {kind[0]} rows with label {str(kind[1]).lower()}"
            for kind, share in self.kept.items()
            if share < 1.0 and kind[0] != DELAY
        ]
        return f"kept, with weights: {'; '.join(parts)}" if parts else ""


def labelled_rows(model: Model, table: Table, silver: DataFrame, *, periods: Periods) -> DataFrame:
    """One row an event whose label is mature at the cut.

    Args:
        model: names label, service and card column.
        table: the model's spine.
        silver: its rows at a pinned version.
        periods: which times matter.

    Returns:
        Key, service keys, event time, card and request columns that the table has, and
        ``_label`` (boolean), ``_label_known`` (timestamp), ``_group``. Of the label delay before
        the test only events with a true label are there (they tell which cards were known),
        and only where the model ranks cards.
    """
    late = _late_columns(table)
    columns = [name for name in _columns(model, table) if name not in late]
    span, cut = periods.everything, F.timestamp_micros(F.lit(periods.cut))
    micros = F.unix_micros(EVENT_TIME)
    versions = silver.where(
        (micros >= span.start) & (micros < span.end) & (F.col(KNOWN_TIME) <= cut)
    )
    sequence = F.struct(KNOWN_TIME, BATCH, POSITION)
    first = F.struct(*[F.col(f"`{name}`") for name in (*columns, EVENT_TIME)])
    label = F.struct(
        column(model.label, table.types()).alias(LABEL),
        _label_known(model, table).alias(LABEL_KNOWN),
    )
    events = versions.groupBy(*[F.col(f"`{key}`") for key in table.spec.key]).agg(
        F.min_by(first, sequence).alias("_first"), F.max_by(label, sequence).alias("_newest")
    )
    names = [*(f"_first.`{name}`" for name in columns), f"_first.{EVENT_TIME}"]
    rows = events.select(*names, f"_newest.{LABEL}", f"_newest.{LABEL_KNOWN}")
    mature = rows.where(F.col(LABEL).isNotNull() & (F.col(LABEL_KNOWN) <= cut))
    grouped = mature.withColumn(GROUP, _group(periods))
    judged = F.col(GROUP) != DELAY
    return grouped.where(judged | F.col(LABEL) if model.spec.card_column else judged)


def shares(rows: DataFrame, *, max_rows: int) -> Shares:
    """Which share of each kind of row fits ``max_rows`` a period, the rarer label first."""
    kinds = [(period, label) for period in (PAST, DELAY, TEST) for label in (False, True)]
    counts = rows.agg(
        *[F.count_if((F.col(GROUP) == one) & (F.col(LABEL) == F.lit(yes))) for one, yes in kinds]
    ).first()
    counted = zip(kinds, counts or (0,) * len(kinds), strict=True)
    found = {kind: int(number) for kind, number in counted if number}
    kept = dict.fromkeys(found, 1.0)
    for period in (PAST, TEST):
        mine = sorted((kind for kind in found if kind[0] == period), key=lambda kind: found[kind])
        room = max_rows
        for number, kind in enumerate(mine):
            fair = room // (len(mine) - number)
            kept[kind] = min(1.0, fair / found[kind])
            room -= round(kept[kind] * found[kind])
    return Shares(found, kept)


def sampled(rows: DataFrame, chosen: Shares, *, key: tuple[str, ...]) -> DataFrame:
    """The chosen share of rows, the same ones every time (by the key's hash), with weights."""
    share = F.lit(1.0)
    for (period, label), kept in chosen.kept.items():
        mine = (F.col(GROUP) == period) & (F.col(LABEL) == F.lit(label))
        share = F.when(mine, F.lit(kept)).otherwise(share)
    place = F.pmod(F.xxhash64(*[F.col(f"`{name}`") for name in key]), F.lit(_SLICES))
    taken = rows.where(place < F.round(share * _SLICES))
    return taken.withColumn(WEIGHT, F.lit(1.0) / share)


def as_sample(rows: pa.Table, model: Model) -> Sample:
    """The rows of a training set as scikit-learn wants them, in the order of time.

    Raises:
        EngineError: a feature is no number.
    """
    ordered = rows.sort_by(EVENT_TIME)
    names = [one.name for one in model.service.outputs]
    card = model.spec.card_column
    return Sample(
        features=pd.DataFrame(model_input(ordered, names), columns=names),
        label=np.asarray(find(ordered, LABEL).to_numpy(), dtype=np.bool_),
        weight=np.asarray(find(ordered, WEIGHT).to_numpy(), dtype=np.float64),
        time=instants(ordered, EVENT_TIME),
        known=instants(ordered, LABEL_KNOWN),
        card=None if card is None else _codes(find(ordered, card)),
    )


def _codes(cards: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    codes = cards.combine_chunks().dictionary_encode(null_encoding="encode").indices
    return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.int64)


def _columns(model: Model, table: Table) -> tuple[str, ...]:
    own = [name for name, _ in model.service.request] if model.service.event == table.name else []
    card = [model.spec.card_column] if model.spec.card_column else []
    wanted = (*table.spec.key, *model.service.keys, table.source.event_time, *card, *own)
    return tuple(dict.fromkeys(wanted))


def _late_columns(table: Table) -> set[str]:
    return {
        name
        for name, one in table.spec.columns.items()
        if one.known_after is not None or one.known_at is not None
    }


def _label_known(model: Model, table: Table) -> Column:
    """When the label of a version is known: with the version, and by each column's own rule."""
    times = [F.col(KNOWN_TIME)]
    stated = False
    for name in sorted(model.label.columns):
        rule = table.spec.columns[name]
        if rule.known_at is not None:
            times.append(F.col(f"`{rule.known_at}`"))
            stated = True
    if not stated:
        delay = duration_micros(label_delay(model, table))
        times.append(F.timestamp_micros(F.unix_micros(EVENT_TIME) + delay))
    return F.greatest(*times) if len(times) > 1 else times[0]


def _group(periods: Periods) -> Column:
    micros = F.unix_micros(EVENT_TIME)
    past = F.when(micros < periods.fit.end, F.lit(PAST))
    return past.when(micros < periods.test.start, F.lit(DELAY)).otherwise(F.lit(TEST))
