"""gold -> Redis of one view: every entity's newest rows, or its recent events, by executors.

Values are absolute and newest wins, so a push may be repeated, interrupted or overtaken. The cursor
is written last; a value of another definition never wins over one of the present definition.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feldspar.errors import StoreError, UsageError
from feldspar.graph.tiling import tiling
from feldspar.graph.view import PlainView, View, WindowedView
from feldspar.names import value_fingerprint
from feldspar.online.added import AddedTask
from feldspar.online.frames import added_events, events_to_push, rows_to_push
from feldspar.online.plain import BucketsTask, PlainTask
from feldspar.online.replaced import clear_replaced, took_over
from feldspar.online.tasks import COUNTS, AdvanceTask, Packer, PushTask
from feldspar.stores.cursors import Cursor, Standing
from feldspar.stores.online import OnlineStore, Patience
from feldspar.stores.retain import horizon_of
from feldspar.stores.tables.bucketed import BucketedTable
from feldspar.stores.tables.small import SMALL
from feldspar.stores.tables.spark import SparkTables
from feldspar.stores.tiles import value_layout
from feldspar.times import duration_micros, to_micros, utc_now

HISTORY = timedelta(days=7)
"""How far back of the newest push the store still answers exactly: late requests, replays."""
_TRIES = 3
_SECOND = 1_000_000


@dataclass(frozen=True)
class PushResult:
    """What one push did.

    ``entities`` were looked at, ``written`` of them changed, ``reread`` of them from their history
    in gold and not from added rows alone; ``version`` is that of gold.
    """

    view: str
    version: int
    entities: int
    written: int
    reread: int
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

    Where the servers may have lost what was pushed, every entity is pushed.

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
        OvertakenError: another push of the view ended while this one ran.
        StoreError: Redis may drop features, is full, or refuses a command.
        UsageError: Redis holds a newer version of gold than there is.
    """
    started = time.monotonic()
    wanted = _Range(after, tables.version("gold", view.name), generation, clock)
    # before anything is begun: a server that is away is said at once, later it is waited for
    store.check()
    with OnlineStore(store.settings, Patience.JOB) as patient:
        for _ in range(_TRIES):
            counts = _try(_Try(view, tables, patient, wanted), progress)
            if counts is not None:
                clear_replaced(view, patient, progress=progress)
                seconds = time.monotonic() - started
                return PushResult(view.name, wanted.upto, *counts, seconds)
            progress(f"online {view.name}: Redis failed over meanwhile; once more")
    raise StoreError(
        f"online {view.name}: Redis failed over during each of {_TRIES} pushes",
        hint="see what its servers do; then: feldspar online push",
    )


@dataclass(frozen=True)
class _Try:
    """One go at a push."""

    view: View
    tables: SparkTables
    store: OnlineStore
    wanted: _Range


def _try(one: _Try, progress: Callable[[str], None]) -> tuple[int, int, int] | None:
    """What was done; None where a server failed over meanwhile: it may have lost some of it."""
    view, store, name = one.view, one.store, one.view.online_name
    servers = store.replication()
    standing = store.standing(name)
    cursor, start = _cursor(view, standing, one.wanted)
    if standing.lost:
        progress(f"online {view.name}: {standing.lost}")
    what = "all" if start is None else f"after version {start}"
    progress(f"online {view.name}: gold rows {what} up to version {cursor.version}")
    counts = _Work(view, one.tables, _packer(view, store, cursor), after=start).done()
    now = store.replication()
    if not all(any(one.goes_on(server.mark) for server in servers) for one in now):
        return None
    marks = tuple(sorted(server.mark for server in now))
    done = replace(cursor, servers=marks, pushed=to_micros(utc_now()))
    store.set_cursor(name, took_over(view, store, done), before=standing.cursor)
    return counts


def _cursor(view: View, standing: Standing, wanted: _Range) -> tuple[Cursor, int | None]:
    """The cursor to leave behind, and the version to start after."""
    definition = value_fingerprint(view.definition)
    is_tiled = isinstance(view, WindowedView) and tiling(view)
    # a tile does not know what was known when: it answers from its push on
    history = 0 if is_tiled else duration_micros(HISTORY)
    before, floor = standing.cursor, wanted.clock - history
    after: int | None = None
    if before is None:
        # whatever lies there is of unknown origin: by the time of day ours wins over it
        epoch = to_micros(utc_now()) // _SECOND
    elif (before.definition, before.generation) != (definition, wanted.generation):
        epoch = before.epoch + 1
    else:
        epoch, floor = before.epoch, max(floor, before.floor)
        if wanted.after is not None and standing.after is not None:
            after = min(wanted.after, standing.after)
        if before.version > wanted.upto:
            raise UsageError(
                f"Redis holds gold.{view.name} up to version {before.version}, "
                f"which is newer than {wanted.upto}",
                hint="feldspar online rebuild, if gold was restored to an older version",
            )
    cursor = Cursor(wanted.upto, definition, wanted.generation, epoch, wanted.clock, floor)
    return cursor, after


def _packer(view: View, store: OnlineStore, cursor: Cursor) -> Packer:
    kept = horizon_of(view, cursor.floor)
    name, layout = view.online_name, value_layout(view)
    return Packer(store.settings, name, layout, view.entity, view.keys, cursor, kept)


@dataclass(frozen=True)
class _Work:
    """The values of one push; ``after`` as in ``_Range``."""

    view: View
    tables: SparkTables
    packer: Packer
    after: int | None

    def done(self) -> tuple[int, int, int]:
        """Entities looked at, those of them that changed, those whose history was read again."""
        view, packer = self.view, self.packer
        upto, kept = packer.cursor.version, packer.horizon
        if self.after == upto:
            return 0, 0, 0
        if isinstance(view, PlainView):
            return _totals(self._plain(view))
        if self.after is not None:
            return self._advanced(view, self.after)
        return (*self._written(events_to_push(view, self.tables, upto=upto, horizon=kept)), 0)

    def _plain(self, view: PlainView) -> DataFrame:
        """By tasks that read buckets of gold where they may, else from rows that Spark moves."""
        tables, packer, upto = self.tables, self.packer, self.packer.cursor.version
        if self.after is None:
            files = tables.files("gold", view.name, version=upto)
        else:
            files = tables.added_in_buckets("gold", view.name, after=self.after, upto=upto)
        if files is not None:
            return self._numbers(files).mapInArrow(BucketsTask(packer, files), COUNTS)
        kept = packer.horizon
        rows = rows_to_push(view, tables, after=self.after, upto=upto, horizon=kept)
        return rows.mapInArrow(PlainTask(packer), COUNTS)

    def _numbers(self, files: BucketedTable) -> DataFrame:
        """Those of the buckets: a task each, where they are large enough to be worth one."""
        spark, most = self.tables.spark, files.buckets
        tasks = min(most, spark.sparkContext.defaultParallelism) if files.size <= SMALL else most
        return spark.range(0, most, numPartitions=tasks)

    def _written(self, frame: DataFrame) -> tuple[int, int]:
        """From frames that hold all that there is to an entity."""
        entities, written, _ = _totals(frame.mapInArrow(PushTask(self.packer), COUNTS))
        return entities, written

    def _advanced(self, view: WindowedView, after: int) -> tuple[int, int, int]:
        """From added rows; where these are not enough, the history is read in a second pass."""
        upto, kept = self.packer.cursor.version, self.packer.horizon
        # written once and looked at twice; rows are entities that need a second pass, few if any
        done = self._advancing(view, after).persist()
        try:
            entities, written, again = _totals(done)
            if not again:
                return entities, written, 0
            touched = done.where(F.col("entities").isNull()).select(*view.keys)
            events = events_to_push(view, self.tables, upto=upto, horizon=kept, touched=touched)
            more = self._written(events)
            return entities + more[0], written + more[1], again
        finally:
            done.unpersist()

    def _advancing(self, view: WindowedView, after: int) -> DataFrame:
        """By tasks that read the added files, where these are few; else from rows that Spark moves:
        so where tiles are, which look for other versions of their events in all of gold.
        """
        tables, upto, task = (
            self.tables,
            self.packer.cursor.version,
            AdvanceTask(self.packer, after),
        )
        held = tables.schema("gold", view.name)
        types = [f"`{key}` {held[key].dataType.simpleString()}" for key in view.keys]
        told = ", ".join([COUNTS, *types])
        files = None
        if not tiling(view):
            files = tables.added_in_buckets("gold", view.name, after=after, upto=upto)
        if files is not None and files.size <= SMALL:
            return self._numbers(files).mapInArrow(AddedTask(task, files), told)
        kept = self.packer.horizon
        added = added_events(view, tables, after=after, upto=upto, horizon=kept)
        return added.mapInArrow(task, told)


def _totals(done: DataFrame) -> tuple[int, int, int]:
    """Sums of both counts, and the rows without them."""
    sums = [F.coalesce(F.sum(name), F.lit(0)) for name in ("entities", "written")]
    found = done.agg(*sums, F.count_if(F.col("entities").isNull())).first()
    entities, written, others = (0, 0, 0) if found is None else found
    return int(entities), int(written), int(others)
