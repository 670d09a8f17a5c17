"""Asks a database what a table or a query holds, and keeps one state of it still while it is read.

The only module that knows the client library, an extra: who has no such source needs none. Rows
are read by Spark's tasks (``ingest.relations``). Takes no JVM.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from feldspar.errors import (
    FeldsparError,
    InputError,
    StoreError,
    UnreachableError,
    UsageError,
    nearest,
)
from feldspar.graph.observed import ColumnRange, RelationRead, RelationState
from feldspar.names import fingerprint
from feldspar.spec.jdbc_options import client_address, login
from feldspar.spec.source import JdbcSource
from feldspar.stores.jdbc_sql import (
    TIMES,
    WHOLE,
    TypedName,
    blocks,
    quoted,
    ranges,
    selected,
    table_name,
)
from feldspar.times import duration_micros

CLIENT = "psycopg"
SECONDS = 5
"""How long a connection is waited for."""
LOOK_SECONDS = 60
"""How long a look may take; one without an index reads the whole table."""
OVERLAP, OVERLAP_OF_TIME = 1_000, timedelta(minutes=10)
"""How far below the newest value each load looks again, where the source does not say."""
_STORED = ("r", "m")
"""Kinds of relations whose rows lie in blocks of their own: tables and materialized views."""
_NOT_THERE, _NO_RIGHTS, _TOO_LONG = ("42P01", "42703"), ("42501",), ("57014",)


@dataclass(frozen=True)
class Relation:
    """A table or a query, as it is now."""

    name: str
    ident: str
    sql: str
    columns: tuple[TypedName, ...]
    kind: str = ""

    def incremental(self, source: JdbcSource, place: str) -> TypedName | None:
        """The column by which new rows are found.

        Raises:
            InputError: there is none of this name, or it has no order that grows.
        """
        wanted = source.incremental_column
        if wanted is None:
            return None
        types = {one.name: one for one in self.columns}
        if wanted not in types:
            near = nearest(wanted, types) or tuple(types)
            raise InputError(
                f"{place}: {self.name} has no column {wanted} (incremental_column)",
                hint=f"nearest: {', '.join(near)}",
            )
        found = types[wanted]
        if found.type not in (*WHOLE, *TIMES):
            fit = [one.name for one in self.columns if one.type in (*WHOLE, *TIMES)]
            raise InputError(
                f"{place}: incremental_column {wanted} is {found.type}; it must be a whole number, "
                "a date or a timestamp that grows with each new or changed row",
                hint=f"such columns are: {', '.join(fit) or 'none'}",
            )
        return found


@dataclass(frozen=True)
class Snapshot:
    """One state of a database, held still: every connection that names it sees the same rows.

    ``begin``: what a connection must say first; ``at``: of when it is, in microseconds.
    """

    relation: Relation
    column: TypedName | None
    begin: str
    at: int
    _asked: _Asked

    def parts(self, wanted: ColumnRange, *, number: int) -> list[str]:
        """Queries that together give the rows of a range, each of them once."""
        relation = self.relation
        if self.column is None:
            # views and queries have no blocks
            split = blocks(self._blocks(), parts=number) if relation.kind in _STORED else ["true"]
        else:
            split = self._ranges(self.column, wanted, number)
        return [selected(relation.columns, relation.sql, where) for where in split]

    def count(self, *, begin: int | None = None, above: int | None = None, upto: int | None) -> int:
        """Rows in a range of the incremental column; 0 where there is none, or no bound."""
        if self.column is None or upto is None:
            return 0
        where = self.column.between(begin=begin, above=above, upto=upto)
        return int(self._asked.one(f"select count(*) from {self.relation.sql} where {where}")[0])

    def _blocks(self) -> int:
        size = "pg_relation_size(%s::oid) / current_setting('block_size')::int8"
        return int(self._asked.one(f"select {size}", self.relation.ident)[0])

    def _ranges(self, column: TypedName, wanted: ColumnRange, number: int) -> list[str]:
        whole = column.between(begin=wanted.begin, upto=wanted.upto)
        if number == 1 or wanted.upto is None:
            return [whole]
        lowest = f"select min({column.value()}) from {self.relation.sql} where {whole}"
        (first,) = self._asked.one(lowest)
        return [whole] if first is None else ranges(column, first, wanted.upto, parts=number)


def observe_relation(source: JdbcSource, name: str, read: RelationRead | None) -> RelationState:
    """What a table or a query holds beyond what was read of it.

    Args:
        source: its database.
        name: of the source, for messages.
        read: how far it was read.

    Raises:
        UnreachableError: no server answers.
        InputError: there is no such table or column, or the column does not order rows.
        StoreError: the server refuses.
        UsageError: the client is not installed.
    """
    with _connected(source, name) as asked:
        asked.within(LOOK_SECONDS)
        relation = asked.relation()
        column = relation.incremental(source, asked.place)
        at = asked.now()
        if column is None:
            (some,) = asked.one(f"select exists (select 1 from {relation.sql})")
            return RelationState(relation.name, relation.ident, at, waiting=int(some), read=read)
        return asked.state(relation, column, read, at=at)


@contextmanager
def open_snapshot(source: JdbcSource, name: str) -> Iterator[Snapshot]:
    """Holds one state of the database still; the table keeps its columns meanwhile.

    Raises:
        FeldsparError: as ``observe_relation``.
    """
    with _connected(source, name) as asked:
        # a load may take longer than the server lets a transaction wait
        asked.connection.execute("set local idle_in_transaction_session_timeout = 0")
        relation = asked.relation()
        (exported,) = asked.one("select pg_export_snapshot()")
        begin = (
            "set transaction isolation level repeatable read read only; "
            f"set transaction snapshot '{exported}'"
        )
        column = relation.incremental(source, asked.place)
        yield Snapshot(relation, column, begin, asked.now(), asked)


@dataclass(frozen=True)
class _Asked:
    """A transaction that sees one state of the database."""

    connection: Any
    source: JdbcSource
    place: str

    def one(self, query: str, *values: object) -> tuple[Any, ...]:
        """The only row of an answer."""
        row: tuple[Any, ...] = self.connection.execute(query, values or None).fetchone()
        return row

    def within(self, seconds: int) -> None:
        """How long each question may take from now on."""
        self.connection.execute(f"set local statement_timeout = '{seconds}s'")

    def now(self) -> int:
        """When the transaction began, in microseconds."""
        return int(self.one("select round(extract(epoch from now()) * 1000000)::int8")[0])

    def relation(self) -> Relation:
        """The table or the query, with its columns.

        Raises:
            InputError: there is no such table.
        """
        query, table = self.source.query, self.source.table
        if table is None:
            text = (query or "").strip().rstrip(";")
            sql = f"({text}) as asked"
            return Relation("query", fingerprint(text), sql, self._columns(sql))
        sql = table_name(table)
        asked = "select oid::text, relkind::text from pg_class where oid = to_regclass(%s)"
        found = self.connection.execute(asked, [sql]).fetchone()
        if found is None:
            raise self._no_table(table)
        return Relation(table, found[0], sql, self._columns(sql), found[1])

    def _columns(self, relation: str) -> tuple[TypedName, ...]:
        described = self.connection.execute(f"select * from {relation} limit 0").description
        return tuple(TypedName(one.name, self._type(one.type_code)) for one in described)

    def _type(self, oid: int) -> str:
        found = self.connection.adapters.types.get(oid)
        # it is found by the number of its list, too
        return str(found.name) if found is not None and found.oid == oid else "other"

    def _no_table(self, table: str) -> InputError:
        listed = self.connection.execute(
            "select schemaname || '.' || tablename from pg_tables where schemaname not in "
            "('pg_catalog', 'information_schema') order by 1 limit 1000"
        )
        near = nearest(table, [row[0] for row in listed])
        hint = f"nearest: {', '.join(near)}" if near else "write it as schema.table"
        return InputError(f"{self.place} has no table {table}", hint=hint)

    def state(
        self, relation: Relation, column: TypedName, read: RelationRead | None, *, at: int
    ) -> RelationState:
        """What waits beyond what was read, by an incremental column."""
        overlap = self._overlap(column)
        highest = f"select max({quoted(column.name)}) as value from {relation.sql}"
        (newest,) = self.one(
            f"select {column.value('value')} from ({highest} where {column.fits()}) as found"
        )
        known = read.upto if read and _goes_on(read, relation, column) else None
        # one that ends below what was read is another one, or an older copy
        from_start = known is None or newest is None or newest < known - overlap
        after = None if from_start else known
        waiting, again = self._counted(relation, column, after, overlap)
        (lacks,) = self.one(f"select exists (select 1 from {relation.sql} where {column.lacks()})")
        cut, within = None, 0
        if waiting > self.source.most:
            cut, within = self._cut(relation, column, after)
        return RelationState(
            relation.name,
            relation.ident,
            at,
            of_times=column.is_time,
            overlap=overlap,
            newest=newest,
            after=after,
            waiting=waiting,
            again=again,
            cut=cut,
            within=within,
            lacks=lacks,
            read=read,
        )

    def _counted(
        self, relation: Relation, column: TypedName, after: int | None, overlap: int
    ) -> tuple[int, int]:
        """Rows above what was read, and those in the overlap below it."""
        begin = None if after is None else after - overlap
        above = "true" if after is None else f"{quoted(column.name)} > {column.bound(after)}"
        where = column.between(begin=begin)
        counts = f"count(*) filter (where {above}), count(*) filter (where not {above})"
        waiting, again = self.one(f"select {counts} from {relation.sql} where {where}")
        return int(waiting), int(again)

    def _cut(self, relation: Relation, column: TypedName, after: int | None) -> tuple[int, int]:
        """The value of the last row that a load may take, and how many rows it then takes."""
        name = quoted(column.name)
        in_order = (
            f"select {name} as value from {relation.sql} where {column.between(above=after)} "
            f"order by {name} offset {self.source.most - 1} limit 1"
        )
        (cut,) = self.one(f"select {column.value('value')} from ({in_order}) as found")
        where = column.between(above=after, upto=cut)
        (within,) = self.one(f"select count(*) from {relation.sql} where {where}")
        return int(cut), int(within)

    def _overlap(self, column: TypedName) -> int:
        """How far each load looks again below the newest value, as a whole number.

        Raises:
            InputError: it is a length of time and the column is not, or the other way round.
        """
        stated = self.source.overlap
        if stated is None:
            return duration_micros(OVERLAP_OF_TIME) if column.is_time else OVERLAP
        if isinstance(stated, timedelta) != column.is_time:
            what = "a length of time such as 10m" if column.is_time else "a number such as 1000"
            raise InputError(
                f"{self.place}: incremental_column {column.name} is {column.type}, so 'overlap' is "
                f"{what}",
                hint="mend 'overlap'",
            )
        return duration_micros(stated) if isinstance(stated, timedelta) else stated


def _goes_on(read: RelationRead, relation: Relation, column: TypedName) -> bool:
    same = (relation.name, relation.ident, column.name)
    return (read.relation, read.ident, read.column) == same


@contextmanager
def _connected(source: JdbcSource, name: str) -> Iterator[_Asked]:
    if importlib.util.find_spec(CLIENT) is None:
        raise UsageError(
            f"source {name} reads a database, whose client is not installed",
            hint="pip install 'feldspar[jdbc]'",
        )
    client = importlib.import_module(CLIENT)
    place = f"source {name}: {source.url.partition('?')[0]}"
    try:
        connection = client.connect(
            client_address(source),
            connect_timeout=SECONDS,
            # poolers lend another connection to each transaction
            prepare_threshold=None,
            application_name="feldspar",
            **login(source),
        )
    except client.Error as error:
        raise _refused(error, place, name) from error
    user = connection.info.user
    try:
        connection.isolation_level = client.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield _Asked(connection, source, place)
    except client.Error as error:
        raise _told(error, place, name, user=user) from error
    finally:
        connection.close()


def _refused(error: Exception, place: str, name: str) -> StoreError:
    """Why there is no connection: a server that says FATAL is there."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    file = f"conf/sources/{name}.yaml"
    fatal = [line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line]
    if fatal:
        return StoreError(f"{place} refuses: {fatal[0]}", hint=f"check user, password, url: {file}")
    return UnreachableError(
        f"{place} does not answer: {lines[0].strip()}",
        hint=f"is it up? the address is 'url' in {file}",
    )


def _told(error: Any, place: str, name: str, *, user: str) -> FeldsparError:
    """What went wrong with a question."""
    state, text = error.sqlstate or "", (str(error).strip().splitlines() or [""])[0]
    file = f"conf/sources/{name}.yaml"
    if state in _NO_RIGHTS:
        return StoreError(f"{place}: {text}", hint=f"grant select on it to {user}")
    if state in _TOO_LONG:
        return StoreError(
            f"{place}: a look took more than {LOOK_SECONDS} s",
            hint="an index on the incremental column makes it fast",
        )
    if state in _NOT_THERE or state.startswith(("42", "22")):
        return InputError(f"{place}: {text}", hint=f"see {file}")
    if not state or state.startswith(("08", "57")):
        return UnreachableError(f"{place} broke off: {text}", hint="run it again")
    return StoreError(f"{place}: {text}", hint="run it again")
