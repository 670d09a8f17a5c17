"""Whether requests said of their events what the events' rows said when they arrived.

Training reads the rows, serving the requests: a client's, or a source's, wrong time zone shows here
alone, for T itself is wrong then.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feldspar.compute.services.batch import request_columns
from feldspar.compute.services.served import REQUEST_ID
from feldspar.graph.graph import Table
from feldspar.graph.view import Service
from feldspar.monitor.audit.findings import FeatureFindings
from feldspar.monitor.audit.hypotheses import SHIFTS, shift_label
from feldspar.names import BATCH, KNOWN_TIME, POSITION, REQUEST
from feldspar.spec.types import ColumnType
from feldspar.stores.tables.spark import SparkTables
from feldspar.times import MICROSECOND

CAUSE = "request"
_ID, _ROW, _MARKS = "_arrived_id", "_arrived", "_arrived_marks"


def arrivals(
    rows: DataFrame, service: Service, event: Table, tables: SparkTables
) -> tuple[FeatureFindings, ...]:
    """A line for each column of the request that features read, and for the event's time.

    Args:
        rows: answers.
        service: whose.
        event: the table of its events; compared are those of which it has a row by now, with that
            row's first version.
        tables: the lake.
    """
    if not tables.exists("silver", event.name):
        return ()
    key, types = event.spec.key[0], dict(service.request)
    named = (event.source.event_time, *request_columns(service))
    names = [name for name in dict.fromkeys(named) if name != key]
    joined = rows.join(_first(rows, event, tables, names), F.col(f"`{key}`") == F.col(_ID))
    marks = [_mark(name, types[name], key=key) for name in names]
    every = F.struct(
        F.lit("").alias("name"), F.lit(0).cast("bigint").alias("off"), _text(F.lit(""))
    )
    told = joined.select(F.explode(F.array_compact(F.array(every, *marks))).alias("mark"))
    counted = (
        told.select("mark.*")
        .groupBy("name", "off")
        .agg(
            F.count(F.lit(1)).alias("rows"), F.min_by("example", F.xxhash64("example")).alias("one")
        )
    )
    # a row a column, and for times one a difference: the most frequent ones are enough
    most = counted.orderBy(F.desc("rows")).limit(10 * (1 + len(names))).collect()
    found = {(row["name"], row["off"]): (int(row["rows"]), row["one"]) for row in most}
    compared = found.get(("", 0), (0, ""))[0]
    return tuple(_finding(name, found, compared=compared) for name in names)


def _first(rows: DataFrame, event: Table, tables: SparkTables, names: list[str]) -> DataFrame:
    """The first version of each event, as a request could have brought it."""
    key = f"`{event.spec.key[0]}`"
    silver = tables.read("silver", event.name)
    wanted = rows.select(F.col(key).alias(_ID)).distinct()
    versions = silver.join(wanted, F.col(key) == F.col(_ID), "left_semi")
    values = F.struct(*[F.col(f"`{name}`") for name in names])
    sequence = F.struct(KNOWN_TIME, BATCH, POSITION)
    return versions.groupBy(F.col(key).alias(_ID)).agg(F.min_by(values, sequence).alias(_ROW))


def _mark(name: str, kind: ColumnType, *, key: str) -> Column:
    asked = F.col(f"`{name}`").cast(kind.spark)
    came = F.col(f"{_ROW}.`{name}`").cast(kind.spark)
    off = F.lit(0).cast("bigint")
    if kind is ColumnType.TIMESTAMP:
        off = F.coalesce(F.unix_micros(asked) - F.unix_micros(came), off)
    values = [F.coalesce(one.cast("string"), F.lit("null")) for one in (asked, came)]
    who = (F.lit("request_id "), F.col(REQUEST_ID), F.lit(f", {key} "), F.col(f"`{key}`"))
    text = F.concat(*who, F.lit(": asked "), values[0], F.lit(", arrived "), values[1])
    mark = F.struct(F.lit(name).alias("name"), off.alias("off"), _text(text))
    return F.when(~asked.eqNullSafe(came), mark)


def _text(text: Column) -> Column:
    return text.alias("example")


def _finding(
    name: str, found: Mapping[tuple[str, int], tuple[int, str]], *, compared: int
) -> FeatureFindings:
    offs = {off: one for (of, off), one in found.items() if of == name}
    if not offs:
        return FeatureFindings(name, REQUEST, compared)
    different = sum(rows for rows, _ in offs.values())
    off, (rows, example) = max(offs.items(), key=lambda one: one[1][0])
    shift = off * MICROSECOND
    is_zone = timedelta(0) != shift and shift in SHIFTS and 2 * rows >= different
    cause = shift_label(shift) if is_zone else CAUSE
    return FeatureFindings(name, REQUEST, compared, different, cause, examples=(example,))
