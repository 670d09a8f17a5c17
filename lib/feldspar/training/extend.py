"""Extends a training set by the spine rows that it does not hold; ``training-set --extend``.

The result equals a set built whole of all its spine rows, from the gold versions that the extension
read, because nothing else can be extended. Under ``as_of: known`` a row at T counts only what was
visible at T; what arrives later is visible later and changes no row that is held. Where that is not
so (rows were loaded with known times in the past, gold was made anew, a definition or the columns
are others, or ``as_of`` is ``event``) the set is left as it is, with the reason and the command
that builds it whole. The code of the platform and of what on-demand functions import is taken to
compute the same as before; the manifest says which code built which part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark import StorageLevel
from pyspark.sql import DataFrame

from feldspar.compute.answers import Answers
from feldspar.compute.services.batch import SpineColumns
from feldspar.compute.windows.functions import AsOf
from feldspar.errors import InputError, StoreError
from feldspar.graph.graph import Table
from feldspar.graph.view import Service
from feldspar.names import fingerprint, set_name
from feldspar.stores.frames import read_frame
from feldspar.stores.tables.log import Txn
from feldspar.stores.tables.spark import SparkTables
from feldspar.training.arrivals import changes_in_the_past
from feldspar.training.held import LAYER, HeldSet, open_set
from feldspar.training.makings import makings
from feldspar.training.manifest import Manifest
from feldspar.training.sets import build_training_set, spine_columns, training_set, with_zone

Refusal = Callable[[str], InputError]


@dataclass(frozen=True)
class Extended:
    """What an extension did.

    Attributes:
        manifest: of the whole set now.
        added: rows that were appended; all of them where the set was not there yet.
        held: rows that were there before.
    """

    manifest: Manifest
    added: int
    held: int


def extend_training_set(
    service: Service,
    event: Table | None,
    tables: SparkTables,
    *,
    spine: str,
    out: str,
    time: str | None = None,
    as_of: AsOf = "known",
) -> Extended:
    """Computes and appends the rows of a spine that a set does not hold; makes a set not yet there.

    The spine may be all rows or just the new ones; rows that only the set holds stay. A row that
    stands twice in the spine and once in the set gets one more.

    Args:
        service: whose features.
        event: the silver table of ``service.event``; None for a service without events.
        tables: the lake.
        spine: ``layer.table`` or a Parquet file or folder.
        out: ``training.<name>``.
        time: the spine's time column; default: the event's.
        as_of: ``known``; ``event`` is refused.

    Raises:
        InputError: the set could come out otherwise than one built whole.
        StoreError: somebody else extended it at the same time.
    """
    table, _ = set_name(out)
    if not tables.exists(LAYER, table):
        whole = training_set(service, event, tables, spine=spine, out=out, time=time, as_of=as_of)
        return Extended(whole, whole.spine_rows, 0)
    held = open_set(tables, f"{LAYER}.{table}")
    command = f"feldspar training-set {service.name} --spine {spine} --out {out}"
    refused = _refusal(held, command if time is None else f"{command} --time {time}")
    zone = event.source.zone if event is not None else None
    rows = with_zone(read_frame(tables, spine), zone=zone)
    columns = spine_columns(rows, service, event, time=time)
    _check_ways(held.manifest, service, columns, as_of=as_of, refused=refused)
    _check_columns(held, rows, refused=refused)
    names = [f"`{name}`" for name in held.spine_columns]
    # as a multiset: each copy of a row that the set holds takes one from the spine
    fresh = rows.select(*names).exceptAll(held.rows.select(*names))
    fresh = fresh.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        answers, newer = build_training_set(fresh, service, tables, columns=columns, event=event)
        return _appended(held, answers, newer, service=service, tables=tables, refused=refused)
    finally:
        fresh.unpersist()


def _appended(
    held: HeldSet,
    answers: Answers,
    newer: Manifest,
    *,
    service: Service,
    tables: SparkTables,
    refused: Refusal,
) -> Extended:
    before = held.manifest
    if not newer.spine_rows:
        return Extended(before, 0, before.spine_rows)
    for reason in changes_in_the_past(held, service, tables, upto=newer.tables):
        raise refused(reason)
    manifest = before.extended(newer)
    note = manifest.as_json()
    # a repeat of this very write, or one beside it, is skipped by Delta
    txn = Txn(f"training-set:{held.table}", held.version)
    ordered = answers.select(held.rows.columns).frame()
    commit = tables.append_noted(ordered, LAYER, held.table, txn=txn, note=note)
    if commit.note != note:
        text = f"{held.name} was extended by somebody else meanwhile; nothing was added"
        raise StoreError(text, hint="run the same command again")
    return Extended(manifest, newer.spine_rows, before.spine_rows)


def _refusal(held: HeldSet, command: str) -> Refusal:
    def refused(reason: str) -> InputError:
        text = f"{held.name} cannot be extended: {reason}"
        return InputError(text, hint=f"build it whole: {command}")

    return refused


def _check_ways(
    before: Manifest, service: Service, columns: SpineColumns, *, as_of: AsOf, refused: Refusal
) -> None:
    """The new rows are made in the way of the old ones."""
    if before.service != service.name:
        raise refused(f"it holds features of {before.service}, not of {service.name}")
    if "event" in (before.as_of, as_of):
        raise refused(
            f"it is built as_of {before.as_of}, asked for is as_of {as_of}; "
            "with event each late row changes rows that it holds"
        )
    asked = (columns.time, columns.event_id)
    if (before.time, before.event_id) != asked:
        raise refused(
            f"its time and event id are {before.time} and {before.event_id}, "
            f"those of the spine {asked[0]} and {asked[1]}"
        )
    now = makings(service, before.features)
    changed = [
        name
        for name, made in before.features.items()
        if name not in now or now[name].definition != made.definition
    ]
    if changed:
        raise refused(f"defined otherwise since then: {', '.join(changed)}")
    if before.definition != fingerprint(service.definition):
        raise refused(f"service {service.name} or a view of it is defined otherwise since then")


def _check_columns(held: HeldSet, spine: DataFrame, *, refused: Refusal) -> None:
    """The spine has the columns of the old one, in whatever order."""
    own = dict(held.rows.select(*[f"`{name}`" for name in held.spine_columns]).dtypes)
    new = dict(spine.dtypes)
    lacking, more = own.keys() - new.keys(), new.keys() - own.keys()
    if lacking or more:
        raise refused(
            f"the spine lacks {', '.join(sorted(lacking)) or 'nothing'} of its columns "
            f"and has {', '.join(sorted(more)) or 'nothing'} besides"
        )
    for name, kind in own.items():
        if new[name] != kind:
            raise refused(f"its column {name} is {kind}, that of the spine {new[name]}")
