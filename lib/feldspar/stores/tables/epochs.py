"""Which run may write: each takes an epoch, a number higher than those of all runs before it.

Before its first write under a cursor a run shuts the earlier ones out: an empty commit, the fence,
carries the cursor on in the run's own epoch. What an earlier run writes after that has a lower
number, and Delta skips it; what it has in flight conflicts with the fence, for both name the same
cursor. Either way it looks for its own commit, finds the fence, and ends. Nothing here depends on
a clock, on a lease, or on which of two runs is alive: the later one wins
(tests/unit/test_epochs_model.py goes through their interleavings).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deltalake import CommitProperties, DeltaTable, Transaction

from feldspar.errors import OvertakenError, TableNotFoundError
from feldspar.stores.tables import log
from feldspar.stores.tables.again import until_written
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import FENCE, GENERATION, Txn, last_txn, overtaken

_UNREAD = -1
REPLACE = "replace"
"""Counts the generations of a table: whoever may not write may not empty it either."""
CARE = "care"
"""Counts the versions whose rows were laid into other files: rows that a later run has added since
would be in none of them.
"""


@dataclass(frozen=True)
class Claim:
    """What a run found where it shut the earlier ones out.

    ``position``: how far the cursor had come, None where nothing was written under it;
    ``generation``: how often the table was rebuilt, None where there is no table.
    """

    position: int | None = None
    generation: int | None = None


@until_written
def claim(lake: Lake, layer: str, name: str, *, app: str, epoch: int) -> Claim:
    """Makes a run the only one that may write to a table under a cursor, and says how far it is.

    A table that is not there needs no fence: of two runs that create it one fails.

    Args:
        lake: where the table lies.
        layer: the table's layer.
        name: the table's name.
        app: the cursor.
        epoch: of the run; 0 writes no fence.

    Raises:
        OvertakenError: a later run has claimed it.
        UnreachableError: the fence could not be written.
    """
    try:
        table = log.open_table(lake, layer, name)
    except TableNotFoundError:
        return Claim()
    last = last_txn(table, app)
    if last is not None and last.epoch > epoch:
        raise overtaken(f"{layer}.{name}", app)
    found = _found(table, last)
    if epoch and (last is None or last.epoch < epoch):
        # fails where somebody wrote under the same cursor meanwhile: then it is looked at anew
        _fence(table, _carried(layer, app, found, epoch=epoch))
    return found


def open_claimed(lake: Lake, layer: str, name: str, *, txn: Txn) -> DeltaTable:
    """A table that is there, right before a write whose cursor this run has claimed.

    What happens between this and the write is Delta's to refuse: it compares the cursor.

    Raises:
        TableNotFoundError: there is no such table.
        OvertakenError: another run has written under the cursor, or claimed it.
    """
    table = log.open_table(lake, layer, name)
    if not txn.epoch:
        return table
    last = last_txn(table, txn.app)
    if last is None:
        # made since it was claimed, or emptied by this run: the first write needs a fence too
        found = claim(lake, layer, name, app=txn.app, epoch=txn.epoch).position
        refuse_stale(f"{layer}.{name}", planned=None, found=found)
        return log.open_table(lake, layer, name)
    if last.epoch != txn.epoch:
        raise overtaken(f"{layer}.{name}", txn.app)
    return table


def refuse_stale(what: str, *, planned: object, found: object) -> None:
    """Stops a run whose plan no longer fits what it claimed.

    Raises:
        OvertakenError: the two differ.
    """
    if planned != found:
        raise OvertakenError(
            f"{what}: planned to go on from {_shown(planned)}, but another run has meanwhile "
            f"come to {_shown(found)}; nothing was written",
            hint="run the same command again: it makes a new plan",
        )


def _shown(position: object) -> str:
    return "the start" if position is None else str(position)


def _found(table: DeltaTable, last: Txn | None) -> Claim:
    position = None if last is None or last.position == _UNREAD else last.position
    return Claim(position, int(table.metadata().configuration.get(GENERATION, "0")))


def _carried(layer: str, app: str, found: Claim, *, epoch: int) -> tuple[Txn, ...]:
    """The cursors that a fence carries on. Tables of ops are written by steps side by side, whose
    fences must not conflict, and are never replaced.
    """
    cursor = Txn(app, _UNREAD if found.position is None else found.position, epoch)
    whole = (Txn(REPLACE, _UNREAD, epoch), Txn(CARE, _UNREAD, epoch))
    return (cursor,) if layer == "ops" else (cursor, *whole)


def _fence(table: DeltaTable, cursors: Sequence[Txn]) -> None:
    properties = CommitProperties(
        app_transactions=[Transaction(one.app, one.version) for one in cursors],
        custom_metadata={FENCE: str(cursors[0].epoch)},
    )
    table.create_write_transaction(
        [], mode="append", schema=table.schema(), commit_properties=properties
    )
