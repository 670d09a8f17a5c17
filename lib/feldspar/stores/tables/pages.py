"""Reads and writes ``ops.pages``: which pages an HTTP source gave, and what the next request is.

A page is there once its row is: the row says in which file its items are, and how to go on. A file
that no row names was left by a run that stopped, and is never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from feldspar.errors import TableNotFoundError
from feldspar.graph.observed import WaitingFile
from feldspar.names import cursor
from feldspar.stores.tables import arrow, log, records
from feldspar.stores.tables.again import again
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from feldspar.times import from_micros, to_micros

TABLE = "pages"
SCHEMA = pa.schema(
    {
        "source": pa.string(),
        "page": pa.int64(),
        "items": pa.int64(),
        "kept": pa.int64(),
        "uri": pa.string(),
        "size": pa.int64(),
        "next": pa.string(),
        "since": pa.string(),
        "newest": pa.string(),
        "recent": pa.list_(pa.int64()),
        "recent_marks": pa.list_(pa.int64()),
        "asked_at": records.INSTANT,
    }
)
_FILES = ("uri", "size", "asked_at")


@dataclass(frozen=True)
class Page:
    """What one request brought.

    Attributes:
        number: counted over all that was ever asked for, from 0.
        items: that the answer had.
        kept: of them, those that no page before had given.
        uri: of the file with these; None: there is none, nothing was new.
        size: of the file, in bytes.
        next: cursor, link or number of the page after it; None: it was the last one.
        since: what this round asked for items from.
        newest: the highest value of ``since.field`` that was ever seen, as the server wrote it.
        recent: items that may be given again, as numbers that stand for them, each with its value.
        at: when it was asked for, in microseconds.
    """

    number: int
    items: int
    kept: int
    uri: str | None
    size: int
    next: str | None
    since: str | None
    newest: str | None
    at: int
    recent: Mapping[int, int] = field(default_factory=dict)


def app(source: str) -> str:
    """The cursor that counts a source's pages."""
    return cursor("pull", source)


@again
def newest(lake: Lake, source: str) -> Page | None:
    """The last page of a source; None where there is none."""
    state = log.table_state(lake, records.LAYER, TABLE, cursors=[app(source)])
    if state is None or app(source) not in state.cursors:
        return None
    last = (pc.field("source") == source) & (pc.field("page") == state.cursors[app(source)])
    rows = arrow.dataset(lake, records.LAYER, TABLE).to_table(filter=last).to_pylist()
    if not rows:
        return None
    (row,) = rows
    recent = dict(zip(row.pop("recent"), row.pop("recent_marks"), strict=True))
    number, at, _ = row.pop("page"), to_micros(row.pop("asked_at")), row.pop("source")
    return Page(number=number, at=at, recent=recent, **row)


@again
def files(lake: Lake, source: str) -> list[WaitingFile]:
    """The files of a source's pages, in their order."""
    try:
        listed = arrow.dataset(lake, records.LAYER, TABLE)
    except TableNotFoundError:
        return []
    mine = (pc.field("source") == source) & pc.field("uri").is_valid()
    rows = listed.to_table(list(_FILES), filter=mine).to_pylist()
    found = [WaitingFile(one["uri"], one["size"], to_micros(one["asked_at"])) for one in rows]
    return sorted(found, key=lambda one: one.uri)


def record(lake: Lake, source: str, page: Page, *, txn: Txn) -> None:
    """Lists a page, once; from then on it is there.

    Raises:
        OvertakenError: a later run asks this source.
        UnreachableError: the list could not be written.
    """
    row = {
        "source": source,
        "page": page.number,
        "items": page.items,
        "kept": page.kept,
        "uri": page.uri,
        "size": page.size,
        "next": page.next,
        "since": page.since,
        "newest": page.newest,
        "recent": list(page.recent),
        "recent_marks": list(page.recent.values()),
        "asked_at": from_micros(page.at),
    }
    records.append(lake, TABLE, [row], schema=SCHEMA, txn=txn)
