"""What is deployed and waiting, as plain values: the only thing a plan knows of the outside.

Filled by ``stores.deployed.observe``; a plan made from equal values is equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TableId = tuple[str, str]
"""(layer, name), e.g. ("silver", "transactions")."""


@dataclass(frozen=True)
class WaitingFile:
    """A file that no load has taken yet."""

    uri: str
    size: int
    modified: int
    """Microseconds since the epoch."""


@dataclass(frozen=True)
class OffsetRange:
    """Messages of one partition, from ``begin`` up to, and without, ``upto``.

    ``lost``: how many before them were deleted unread; ``left``: how many after them wait.
    """

    partition: int
    begin: int
    upto: int
    lost: int = 0
    left: int = 0


@dataclass(frozen=True)
class Messages:
    """What one load takes of a topic: a range of each partition, be it empty."""

    topic: str
    topic_id: str
    ranges: tuple[OffsetRange, ...]

    @property
    def count(self) -> int:
        """Offsets in all ranges; some may hold no message."""
        return sum(one.upto - one.begin for one in self.ranges)


@dataclass(frozen=True)
class PartitionState:
    """The oldest offset that a partition holds, and the one after the newest committed."""

    partition: int
    first: int
    end: int


@dataclass(frozen=True)
class TopicRead:
    """How far a source has been read: its topic then, and by partition the next offset."""

    topic: str
    topic_id: str
    upto: Mapping[int, int]


@dataclass(frozen=True)
class TopicState:
    """A Kafka source: what its topic holds, and what was read of it (None: nothing yet)."""

    topic: str
    topic_id: str
    partitions: tuple[PartitionState, ...]
    read: TopicRead | None = None


@dataclass(frozen=True)
class ColumnRange:
    """Rows of a table or a query that one load takes, by their incremental column.

    Values are whole numbers: of times, microseconds since the epoch.

    Attributes:
        relation: the table, or ``query``.
        ident: what tells it from another one of its name.
        column: empty: all rows are taken.
        begin: the lowest value that is looked at; None: there is no bound.
        after: rows above it are new; those up to it are compared with what bronze has of them.
        upto: the highest value.
        left: rows that wait above it.
        overlap: how far below the highest value the next load looks again.
    """

    relation: str
    ident: str
    column: str = ""
    begin: int | None = None
    after: int | None = None
    upto: int | None = None
    left: int = 0
    overlap: int = 0


@dataclass(frozen=True)
class RelationRead:
    """How far a JDBC source has been read.

    ``again``: rows that lay in the overlap below ``upto``, None where that is not known; ``at``:
    the moment of which the newest load is, in microseconds.
    """

    relation: str
    ident: str
    column: str
    upto: int | None
    again: int | None
    at: int


@dataclass(frozen=True)
class RelationState:
    """A JDBC source: what waits, and what was read (None: nothing yet).

    Attributes:
        relation: the table, or ``query``.
        ident: what tells it from another one of its name.
        at: when it was looked at, by the database's clock, in microseconds.
        of_times: whether values of the incremental column are times.
        overlap: how far below the highest value each load looks again.
        newest: the highest value; None: there are no rows, or no incremental column.
        after: up to where rows were read; None: what waits is counted from the start.
        waiting: rows above it; without an incremental column 1 where there are any.
        again: rows in the overlap below it.
        cut: the value that ends a load where more waits than it may take.
        within: rows that such a load takes: those of one value stay together.
        lacks: whether rows have no value, and would never be read.
    """

    relation: str
    ident: str
    at: int
    of_times: bool = False
    overlap: int = 0
    newest: int | None = None
    after: int | None = None
    waiting: int = 0
    again: int = 0
    cut: int | None = None
    within: int = 0
    lacks: bool = False
    read: RelationRead | None = None


@dataclass(frozen=True)
class Asking:
    """What the next request of an HTTP source is, and what it is for.

    Attributes:
        page: its number, counted over all that was ever asked for.
        next: cursor, link or number of the page; None: the first one of a round.
        since: what the round asks for items from; None: for all.
    """

    page: int
    next: str | None = None
    since: str | None = None


@dataclass(frozen=True)
class PagesState:
    """An HTTP source: pages that wait to be loaded, and how far it was asked.

    Attributes:
        at: when this was looked at, in microseconds.
        waiting: files of pages that no load has taken.
        pages: how many were ever asked for.
        next: where an unfinished round goes on; None: the last one is finished.
        since: what that one asks for items from.
        newest: the highest value that items had, as the server wrote it.
        asked: when the newest page came, in microseconds; None: never.
    """

    at: int
    waiting: tuple[WaitingFile, ...] = ()
    pages: int = 0
    next: str | None = None
    since: str | None = None
    newest: str | None = None
    asked: int | None = None


@dataclass(frozen=True)
class TableState:
    """A Delta table: its version, what it was built from and how far it has read.

    ``cursors`` maps a step's name to the source version its last commit covers.
    """

    version: int
    definition: str | None = None
    cursors: Mapping[str, int] = field(default_factory=dict)
    generation: int = 0
    """Counts rebuilds: cursors of an older generation mean nothing."""
    source_generation: int = 0
    """The generation of the source it was built from."""
    layout: str | None = None
    """How a gold table's rows lie in its files; see ``names.GOLD_LAYOUT``."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Names and types, as Spark calls them."""


@dataclass(frozen=True)
class SourceState:
    """A source: files, or ``version`` of a Delta table, ``topic`` of Kafka, ``relation`` of a
    database, ``pages`` of an HTTP server.
    """

    waiting: tuple[WaitingFile, ...] = ()
    known: int = 0
    version: int | None = None
    topic: TopicState | None = None
    relation: RelationState | None = None
    pages: PagesState | None = None


@dataclass(frozen=True)
class PushState:
    """A view in Redis: the gold version it equals and the definition it was packed with.

    ``lost``: why it may not equal it any more; empty: it does.
    """

    version: int
    definition: str
    generation: int = 0
    lost: str = ""


@dataclass(frozen=True)
class ModelState:
    """The last training of a model: its cut (microseconds) and its definition."""

    cut: int
    definition: str
    champion: str | None


@dataclass(frozen=True)
class Observed:
    """Everything ``plan`` is told."""

    tables: Mapping[TableId, TableState] = field(default_factory=dict)
    sources: Mapping[str, SourceState] = field(default_factory=dict)
    generated: Mapping[str, str] = field(default_factory=dict)
    """Generator source to the canonical options its finished files were made with."""
    pushed: Mapping[str, PushState] = field(default_factory=dict)
    models: Mapping[str, ModelState] = field(default_factory=dict)
    clock: int | None = None
    """Now, in microseconds: the wall clock or the newest committed event."""
