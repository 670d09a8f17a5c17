"""gold -> Redis of one view: every entity's newest rows, or its recent events, by executors.

Values are absolute and newest wins, so a push may be repeated, interrupted or overtaken. The cursor
is written last; a value of another definition never wins over one of the present definition.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feldspar.errors import UsageError
from feldspar.graph.tiling import tiling
from feldspar.graph.view import PlainView, View, WindowedView
from feldspar.names import fingerprint
from feldspar.online.frames import events_to_push, rows_to_push
from feldspar.online.retain import Horizon
from feldspar.online.tasks import PushTask
from feldspar.stores.online import Cursor, OnlineStore, Patience
from feldspar.stores.tables.spark import SparkTables
from feldspar.stores.tiles import value_layout
from feldspar.times import duration_micros

HISTORY = timedelta(days=7)
"""How far back of the newest push the store still answers exactly: late requests, replays."""


@dataclass(frozen=True)
class PushResult:
    """What one push did.

    ``entities`` were looked at, ``written`` of them changed; ``version`` is that of gold.
    """

    view: str
    version: int
    entities: int
    written: int
    seconds: float

    @property
    def skipped(self) -> int:
        """Entities whose value was as new already."""
        return self.entities - self.written


@dataclass(frozen=True)
class _Range:
    """What was asked for; see ``push``."""

    after: int | None
    upto: int
    generation: int
    clock: int


def push(
    view: View,
    *,
    tables: SparkTables,
    store: OnlineStore,
    after: int | None,
    generation: int,
    clock: int,
    progress: Callable[[str], None],
) -> PushResult:
    """Brings the online store up to the newest version of ``gold.<view>``.

    Args:
        view: what to push.
        tables: the lake.
        store: where to; executors open clients of their own.
        after: gold version that was pushed already; None: push every entity. Where the store
            holds less than that, or holds it by another definition, more is pushed.
        generation: of the gold table.
        clock: now, in microseconds.
        progress: gets a line when work starts.

    Raises:
        UnreachableError: Redis does not answer.
        StoreError: Redis may drop features, or refuses a command.
        UsageError: Redis holds a newer version of gold than there is.
    """
    started = time.monotonic()
    wanted = _Range(after, tables.version("gold", view.name), generation, clock)
    with OnlineStore(store.settings, Patience.JOB) as patient:
        patient.check()
        before = patient.cursor(view.name)
        cursor, start = _cursor(view, before, wanted)
        if before is None:
            # whatever lies there is of unknown origin: it could win over what comes now
            patient.clear([view.name])
        what = "all" if start is None else f"after version {start}"
        progress(f"online {view.name}: gold rows {what} up to version {cursor.version}")
        frame = _frame(view, tables, after=start, cursor=cursor)
        kept = horizon(view, cursor)
        task = PushTask(store.settings, value_layout(view), view.entity, view.keys, cursor, kept)
        done = frame.mapInArrow(task, "entities bigint, written bigint")
        totals = done.agg(*[F.coalesce(F.sum(name), F.lit(0)) for name in done.columns]).first()
        patient.set_cursor(view.name, cursor)
    entities, written = (0, 0) if totals is None else (int(totals[0]), int(totals[1]))
    return PushResult(view.name, cursor.version, entities, written, time.monotonic() - started)


def horizon(view: View, cursor: Cursor) -> Horizon:
    """What the store keeps of a view as of a cursor; ``retention`` of rows is their ttl."""
    match view:
        case WindowedView():
            retention = duration_micros(view.retention)
        case PlainView():
            # without a ttl rows live for ever, and no limit is ever looked at
            retention = 0 if view.ttl is None else duration_micros(view.ttl)
        case _:
            assert_never(view)
    return Horizon(cursor.floor, retention, duration_micros(view.serving_delay))


def _cursor(view: View, before: Cursor | None, wanted: _Range) -> tuple[Cursor, int | None]:
    """The cursor to leave behind, and the version to start after."""
    definition = fingerprint(view.definition)
    is_tiled = isinstance(view, WindowedView) and tiling(view)
    # a tile does not know what was known when: it answers from its push on
    history = 0 if is_tiled else duration_micros(HISTORY)
    after, epoch, floor = wanted.after, 1, wanted.clock - history
    if before is None:
        after = None
    elif (before.definition, before.generation) != (definition, wanted.generation):
        after, epoch = None, before.epoch + 1
    else:
        epoch, floor = before.epoch, max(floor, before.floor)
        after = None if after is None else min(after, before.version)
        if before.version > wanted.upto:
            raise UsageError(
                f"Redis holds gold.{view.name} up to version {before.version}, "
                f"which is newer than {wanted.upto}",
                hint="feldspar online rebuild, if gold was restored to an older version",
            )
    cursor = Cursor(wanted.upto, definition, wanted.generation, epoch, wanted.clock, floor)
    return cursor, after


def _frame(view: View, tables: SparkTables, *, after: int | None, cursor: Cursor) -> DataFrame:
    kept = horizon(view, cursor)
    match view:
        case WindowedView():
            return events_to_push(view, tables, after=after, upto=cursor.version, horizon=kept)
        case PlainView():
            return rows_to_push(view, tables, after=after, upto=cursor.version, horizon=kept)
        case _:
            assert_never(view)
