"""The served log: what was answered, kept in memory for seconds and written by a thread of its own.

``add`` takes a microsecond or two and waits for nothing. What is written are uniquely named Parquet
objects in the lake's inbox, never commits: ``feldspar ingest`` makes a table of them.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import zlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from threading import Condition, Thread
from typing import Any, NamedTuple

import pyarrow as pa

from feldspar.compute.services.served import (
    ANSWER,
    AT,
    DEFINITION,
    DEGRADED,
    MODEL,
    MODEL_VERSION,
    PROBABILITY,
    REQUEST_ID,
    STALE,
    newest_column,
    served_definition,
    served_schema,
    stamp_column,
    version_column,
)
from feldspar.errors import StoreError
from feldspar.graph.graph import Graph
from feldspar.graph.view import Service
from feldspar.names import SERVED_AT, SERVED_INBOX
from feldspar.spec.environment import Environment
from feldspar.stores.inbox import Inbox
from feldspar.stores.tables.lake import Lake
from feldspar.times import to_micros, utc_now

ROWS_AN_OBJECT = 20_000
"""So many are written before their time has come."""
_LONGEST_CLOSE = 60.0
_HASHES = 1 << 32
_NO_ROW = (pa.ArrowException, TypeError, ValueError, OverflowError)
_SECONDS_A_SLICE = 0.1
_SLICE = 200
"""So many become columns before their time has come."""
_JSON = json.JSONEncoder(default=str)
_LOG = logging.getLogger(__name__)


class ServedRecord(NamedTuple):
    """One answer, by reference: columns are made of it when it is written.

    Attributes:
        request_id: chosen by the caller or by us.
        served_at: wall clock, microseconds.
        service: its name.
        request: every column of ``Service.request``, the entities' keys among them; timestamps in
            microseconds, dates in days.
        at: T in microseconds.
        features: output column to value, as the answer had them.
        newest: view to the event time of the newest thing that counted, microseconds.
        versions: view to the gold version that its cursor named.
        stamps: windowed view to the gold version that its value names, where it was at hand: a
            push writes values before its cursor, so a value may be newer than the cursor that was
            read in the same round trip.
        stale: outputs of views whose stored row had outlived its ttl.
        model, model_version: None where features alone were asked for.
        answer: what the model's kind answers.
        degraded: Redis was away.
    """

    request_id: str
    served_at: int
    service: str
    request: Mapping[str, Any]
    at: int
    features: Mapping[str, Any]
    newest: Mapping[str, int | None]
    versions: Mapping[str, int]
    stamps: Mapping[str, int]
    stale: Sequence[str] = ()
    model: str | None = None
    model_version: str | None = None
    answer: Mapping[str, Any] | None = None
    degraded: bool = False


class Figures(NamedTuple):
    """What became of a service's answers since the process started; ``waiting`` now."""

    written: int
    dropped: int
    waiting: int
    failures: int


def is_sampled(request_id: str, share: float) -> bool:
    """Whether a request is among the share that is logged: the same everywhere, at any time.

    >>> is_sampled("any", 1.0), is_sampled("any", 0.0)
    (True, False)
    """
    return zlib.crc32(request_id.encode()) < share * _HASHES


def served_rows(service: Service, records: Sequence[ServedRecord]) -> pa.Table:
    """The records as rows of ``served_schema``."""
    columns: dict[str, list[Any]] = {
        REQUEST_ID: [one.request_id for one in records],
        SERVED_AT: [one.served_at for one in records],
        AT: [one.at for one in records],
        MODEL: [one.model for one in records],
        MODEL_VERSION: [one.model_version for one in records],
        PROBABILITY: [(one.answer or {}).get("probability") for one in records],
        ANSWER: [None if one.answer is None else _text(one.answer) for one in records],
        DEGRADED: [one.degraded for one in records],
        STALE: [one.stale for one in records],
        DEFINITION: [served_definition(service)] * len(records),
    }
    for name, _ in service.request:
        columns[name] = [one.request.get(name) for one in records]
    for output in service.outputs:
        columns[output.name] = [one.features.get(output.name) for one in records]
    for view in service.views:
        name = view.name
        columns[version_column(name)] = [one.versions.get(name) for one in records]
        columns[stamp_column(name)] = [one.stamps.get(name) for one in records]
        columns[newest_column(name)] = [one.newest.get(name) for one in records]
    schema = served_schema(service)
    return pa.table([pa.array(columns[one.name], one.type) for one in schema], schema=schema)


def _text(answer: Mapping[str, Any]) -> str:
    return _JSON.encode(dict(answer))


class ServedLog:
    """The logs of all services of one process; safe to use from any thread."""

    def __init__(self, graph: Graph, environment: Environment) -> None:
        lake = Lake.of(environment)
        layer, _, folder = SERVED_INBOX.partition("/")
        self._logs = {
            name: _ServiceLog(service, Inbox(lake.storage, lake.uri(layer, f"{folder}/{name}")))
            for name, service in graph.services.items()
            if service.served_log.sample
        }

    def add(self, records: Iterable[ServedRecord]) -> None:
        """Keeps what was answered until it is written; waits for nothing and nobody."""
        for record in records:
            log = self._logs.get(record.service)
            if log is not None:
                log.add(record)

    def figures(self) -> dict[str, Figures]:
        """By service, what became of its answers."""
        return {name: log.figures() for name, log in self._logs.items()}

    def close(self) -> None:
        """Writes what waits, and ends the threads. Add nothing afterwards."""
        for log in self._logs.values():
            log.stop()
        for log in self._logs.values():
            log.join()


class _ServiceLog:
    """One service's answers that wait, and the thread that writes them.

    They wait as records for a moment, then as columns, which take a tenth of the memory. Columns
    are made of few at a time: requests wait for the interpreter while this thread has it, 16 ms for
    two thousand answers at once.
    """

    def __init__(self, service: Service, inbox: Inbox) -> None:
        self._service, self._inbox, self._spec = service, inbox, service.served_log
        self._records: deque[ServedRecord] = deque()
        self._slices: deque[pa.Table] = deque()
        self._tables: deque[tuple[str, pa.Table]] = deque()
        self._changed = Condition()
        # rows in tables that wait, and rows in hands of the thread
        self._tabled = self._held = 0
        self._written = self._dropped = self._failures = self._objects = 0
        self._stopped = False
        self._thread: Thread | None = None
        self._whose = f"{socket.gethostname()}-{os.getpid()}"

    def add(self, record: ServedRecord) -> None:
        if self._spec.sample < 1 and not is_sampled(record.request_id, self._spec.sample):
            return
        with self._changed:
            self._records.append(record)
            if self._waiting() > self._spec.most:
                self._drop_oldest()
            if self._thread is None:
                self._start()
            elif len(self._records) == _SLICE:
                self._changed.notify()

    def figures(self) -> Figures:
        with self._changed:
            return Figures(self._written, self._dropped, self._waiting(), self._failures)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def join(self) -> None:
        """Waits for the last write; what could not be written by then is lost, and said."""
        if self._thread is not None:
            self._thread.join(_LONGEST_CLOSE)
        lost = self.figures().waiting
        if lost:
            _LOG.error("served log of %s: %d answers are lost", self._service.name, lost)

    def _waiting(self) -> int:
        return len(self._records) + self._tabled + self._held

    def _start(self) -> None:
        # not before the first answer: a process that is forked would lack it
        self._thread = Thread(
            target=self._run, name=f"served-log-{self._service.name}", daemon=True
        )
        self._thread.start()

    def _drop_oldest(self) -> None:
        self._dropped += 1
        if not self._tables and not self._slices:
            self._records.popleft()
            return
        self._tabled -= 1
        if self._tables:
            name, oldest = self._tables.popleft()
            if oldest.num_rows > 1:
                self._tables.appendleft((name, oldest.slice(1)))
        else:
            oldest = self._slices.popleft()
            if oldest.num_rows > 1:
                self._slices.appendleft(oldest.slice(1))

    def _run(self) -> None:
        stopped = False
        while not stopped:
            stopped = self._gather(time.monotonic() + self._spec.flush.total_seconds())
            while self._make_object():
                pass
            while self._write_one():
                pass

    def _gather(self, until: float) -> bool:
        """Makes columns, a slice at a time, until an object is due; whether it is the last one."""
        rows = 0
        while rows < ROWS_AN_OBJECT:
            with self._changed:
                left = until - time.monotonic()
                if self._stopped or left <= 0:
                    return self._stopped
                if len(self._records) < _SLICE:
                    self._changed.wait(min(left, _SECONDS_A_SLICE) if self._records else left)
            rows += self._make_slice()
        return False

    def _make_slice(self) -> int:
        """Columns of the oldest records; how many records there were."""
        with self._changed:
            records = [self._records.popleft() for _ in range(min(_SLICE, len(self._records)))]
            self._held = len(records)
        if not records:
            return 0
        rows = self._rows(records)
        with self._changed:
            self._held = 0
            self._tabled += rows.num_rows
            self._dropped += len(records) - rows.num_rows
            if rows.num_rows:
                self._slices.append(rows)
        return len(records)

    def _make_object(self) -> bool:
        """An object of what was answered by now, named by now; whether more may be left."""
        now = utc_now()
        while self._tabled_slices() < ROWS_AN_OBJECT and self._make_slice():
            pass
        with self._changed:
            if not self._slices:
                return False
            self._objects += 1
            name = f"{to_micros(now) // 1_000}-{self._whose}-{self._objects}.parquet"
            rows = pa.concat_tables(self._slices)
            self._slices.clear()
            self._tables.append((f"{now:%Y-%m-%d}/{name}", rows))
        return bool(rows.num_rows >= ROWS_AN_OBJECT)

    def _tabled_slices(self) -> int:
        with self._changed:
            return sum(rows.num_rows for rows in self._slices)

    def _write_one(self) -> bool:
        """Writes the oldest table; whether there was one and it was written."""
        with self._changed:
            if not self._tables:
                return False
            name, rows = self._tables.popleft()
            self._tabled, self._held = self._tabled - rows.num_rows, rows.num_rows
        try:
            self._inbox.put(name, rows)
        except StoreError as error:
            _LOG.warning("served log of %s: %s", self._service.name, error.message)
            with self._changed:
                self._tables.appendleft((name, rows))
                self._tabled, self._held = self._tabled + rows.num_rows, 0
                self._failures += 1
            return False
        with self._changed:
            self._held = 0
            self._written += rows.num_rows
        return True

    def _rows(self, records: Sequence[ServedRecord]) -> pa.Table:
        """All of them but those that are no rows: these would stop the others for ever."""
        try:
            return served_rows(self._service, records)
        except _NO_ROW as error:
            if len(records) == 1:
                text = "served log of %s: the answer to %s is no row: %s"
                _LOG.error(text, self._service.name, records[0].request_id, error)
                return served_schema(self._service).empty_table()
            parts = (records[: len(records) // 2], records[len(records) // 2 :])
            return pa.concat_tables([self._rows(part) for part in parts])
