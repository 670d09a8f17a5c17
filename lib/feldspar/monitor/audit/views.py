"""Audits the columns of one view in a task: replays them twice, and says why some differ.

At the cursor that was served, or at the one that the next push set: values are written before it.
And at T by known_time, from gold as it is now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql.types import StructField, StructType

from feldspar.compute.layout import BucketedRows
from feldspar.compute.services.bucketed import parts
from feldspar.compute.services.served import STALE
from feldspar.monitor.audit.equality import Bools, same
from feldspar.monitor.audit.hypotheses import LATER, TTL, Hypothesis, hypotheses, lags
from feldspar.monitor.audit.marks import DDL, Kind, Marks, Places, values_of
from feldspar.monitor.audit.replays import HeldRows, Plan, Versions, held, inputs, replayed
from feldspar.stores.tables.spark import struct

SERVED = "_served_"
"""Before the name of an output in the working frame: the value that was served."""
BUCKET = "_audit_bucket"
DIAGNOSED = 200
"""Rows of a bucket whose differences are looked into; of the others it is known that there are."""
EQUAL, DIFFERENT, GONE = 0, 1, 2


@dataclass(frozen=True)
class ViewAudit:
    """What to replay of one view; travels to executors.

    Attributes:
        view: its name.
        keys: entity key columns that examples are told by.
        plan: over the prepared spine.
        version: column with the gold version that a row was answered from.
        cursor: that version -> its rows.
        following: the same -> the rows of the next version that was pushed.
        newest: gold as it is now.
        logged: output columns of the view that the log has.
        inexact: those of them that are sums.
        schema: Arrow types of all columns of the plan.
    """

    view: str
    keys: tuple[str, ...]
    plan: Plan
    version: str
    cursor: Versions
    following: Versions
    newest: BucketedRows
    logged: tuple[str, ...]
    inexact: frozenset[str]
    schema: pa.Schema

    @property
    def state(self) -> str:
        """Column that says whether a row's values are equal, different, or not known."""
        return f"_state_{self.view}"

    @property
    def marks(self) -> str:
        """Column of the view's marks."""
        return f"_marks_{self.view}"

    @property
    def buckets(self) -> int:
        """The most buckets that a version of gold has."""
        return max(one.buckets for one in (*self.cursor.values(), self.newest))

    def audited(self, rows: pa.Table, bucket: int) -> pa.Table:
        """The rows with the view's columns at the cursor, their state and their marks."""
        return _Audited(self, rows, bucket).table()


@dataclass(frozen=True)
class ViewsTask:
    """The views of one entity, bucket by bucket."""

    views: tuple[ViewAudit, ...]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for bucket, spine in parts(batches, BUCKET):
            table = spine
            for view in self.views:
                table = view.audited(table, bucket)
            yield from table.to_batches()


def added_fields(view: ViewAudit, spark: StructType) -> list[StructField]:
    """The columns that ``audited`` adds; ``spark``: those of the plan."""
    more = struct(f"`{view.state}` tinyint, `{view.marks}` {DDL}")
    return [*spark.fields, *more.fields]


class _Audited:
    """The audit of one view's columns in one bucket."""

    def __init__(self, audit: ViewAudit, rows: pa.Table, bucket: int) -> None:
        self._audit, self._rows, self._bucket = audit, rows, bucket
        self._marks = Marks.of(rows.num_rows)
        self._version = rows.column(audit.version).fill_null(-1).to_numpy()
        self._gone: Bools = ~np.isin(self._version, [*audit.cursor])

    def table(self) -> pa.Table:
        audit, rows = self._audit, self._rows
        values = replayed(
            rows, self._bucket, audit.plan, audit.cursor, named=audit.version, schema=audit.schema
        )
        values = self._in_flight(values, self._equal(values, rows))
        equal = self._equal(values, rows)
        self._note_different(values, equal)
        self._note_stale(equal)
        for row in np.flatnonzero(self._gone):
            self._marks.add(int(row), audit.view, "gone", str(self._version[row]))
        wrong = np.zeros(rows.num_rows, dtype=np.bool_)
        for one in equal.values():
            wrong |= ~one
        state = np.where(self._gone, GONE, np.where(wrong, DIFFERENT, EQUAL)).astype(np.int8)
        for name in values.column_names:
            rows = rows.append_column(values.schema.field(name), values.column(name))
        rows = rows.append_column(audit.state, pa.array(state))
        return rows.append_column(audit.marks, self._marks.column())

    def _equal(self, values: pa.Table, rows: pa.Table) -> dict[str, Bools]:
        audit = self._audit
        return {
            name: same(rows.column(SERVED + name), values.column(name), close=name in audit.inexact)
            for name in audit.logged
        }

    def _in_flight(self, values: pa.Table, equal: dict[str, Bools]) -> pa.Table:
        """The values of the next pushed version in rows that were answered from it."""
        audit = self._audit
        asked = self._wrong(equal) & np.isin(self._version, [*audit.following])
        place = np.flatnonzero(asked)
        if not len(place):
            return values
        rows = self._rows.take(pa.array(place))
        ahead = replayed(
            rows,
            self._bucket,
            audit.plan,
            audit.following,
            named=audit.version,
            schema=audit.schema,
        )
        fits = ~self._any_wrong(self._equal(ahead, rows), len(place))
        for row in place[fits]:
            self._marks.add(int(row), audit.view, "in flight")
        # those that fit take the places of what the cursor gave
        order = np.arange(values.num_rows)
        order[place[fits]] = values.num_rows + np.flatnonzero(fits)
        return pa.concat_tables([values, ahead]).take(pa.array(order))

    def _wrong(self, equal: dict[str, Bools]) -> Bools:
        return self._any_wrong(equal, self._rows.num_rows) & ~self._gone

    @staticmethod
    def _any_wrong(equal: dict[str, Bools], count: int) -> Bools:
        wrong = np.zeros(count, dtype=np.bool_)
        for one in equal.values():
            wrong |= ~one
        return wrong

    def _note_different(self, values: pa.Table, equal: dict[str, Bools]) -> None:
        for name, good in equal.items():
            place = np.flatnonzero(~good & ~self._gone)
            self._note(place, name, values.column(name), kind="different")
        place = np.flatnonzero(self._wrong(equal))[:DIAGNOSED]
        for version in np.unique(self._version[place]):
            some = place[self._version[place] == version]
            gold = self._held(some, self._audit.cursor[int(version)])
            self._note_ttl(some, values, equal)
            self._diagnose(some, equal, hypotheses(self._audit.plan, gold))

    def _note_ttl(self, place: Places, values: pa.Table, equal: dict[str, Bools]) -> None:
        """What the server took for run out, and gold does not."""
        stale = [set(found or ()) for found in values_of(self._rows.column(STALE), place)]
        for name, good in equal.items():
            expected = values_of(values.column(name), place)
            for row, found, value in zip(place, stale, expected, strict=True):
                if not good[row] and name in found and value is not None:
                    self._marks.add(int(row), name, "cause", TTL)

    def _diagnose(
        self, place: Places, equal: dict[str, Bools], tried: Iterable[Hypothesis]
    ) -> None:
        rows = self._rows.take(pa.array(place))
        spine = rows.select(list(inputs(self._audit.plan)))
        wrong = {name: ~good[place] for name, good in equal.items() if not good[place].all()}
        for name, where in wrong.items():
            for row in place[where]:
                self._marks.add(int(row), name, "diagnosed")
        for one in tried:
            values = one.values(spine)
            for name in wrong.keys() & set(values.column_names):
                close = name in self._audit.inexact
                fits = same(rows.column(SERVED + name), values.column(name), close=close)
                for row in place[fits & wrong[name]]:
                    self._marks.add(int(row), name, "cause", one.label)

    def _note_stale(self, equal: dict[str, Bools]) -> None:
        """What gold as it is now says was known by T, and was not served."""
        audit = self._audit
        known = {int(version): audit.newest for version in np.unique(self._version)}
        values = replayed(
            self._rows, self._bucket, audit.plan, known, named=audit.version, schema=audit.schema
        )
        late = {
            name: ~good & equal[name] & ~self._gone
            for name, good in self._equal(values, self._rows).items()
        }
        for name, where in late.items():
            self._note(np.flatnonzero(where), name, values.column(name), kind="stale")
        any_late = self._any_wrong({name: ~one for name, one in late.items()}, len(self._version))
        place = np.flatnonzero(any_late)[:DIAGNOSED]
        if len(place):
            self._date(place, late)

    def _date(self, place: Places, late: dict[str, Bools]) -> None:
        rows = self._rows.take(pa.array(place))
        spine = rows.select(list(inputs(self._audit.plan)))
        waiting = {name: where[place] for name, where in late.items()}
        for one in lags(self._audit.plan, self._held(place, self._audit.newest)):
            values = one.values(spine)
            for name, open_ in tuple(waiting.items()):
                close = name in self._audit.inexact
                fits = open_ & same(rows.column(SERVED + name), values.column(name), close=close)
                for row in place[fits]:
                    self._marks.add(int(row), name, "age", one.label)
                waiting[name] = open_ & ~fits
        for name, open_ in waiting.items():
            for row in place[open_]:
                self._marks.add(int(row), name, "age", LATER)

    def _held(self, place: Places, gold: BucketedRows) -> HeldRows:
        return held(self._rows.take(pa.array(place)), self._bucket, self._audit.plan, gold)

    def _note(self, place: Places, name: str, replayed: pa.ChunkedArray, *, kind: Kind) -> None:
        told = [self._rows.column(key) for key in self._audit.keys]
        keys = [list(values_of(column, place)) for column in told]
        served = values_of(self._rows.column(SERVED + name), place)
        for number, (row, was, gold) in enumerate(
            zip(place, served, values_of(replayed, place), strict=True)
        ):
            who = ", ".join(
                f"{key} {column[number]}"
                for key, column in zip(self._audit.keys, keys, strict=True)
            )
            self._marks.add(int(row), name, kind, example=f"{who}: served {was!r}, gold {gold!r}")
