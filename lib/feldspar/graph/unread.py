"""How far behind its source each table and each view in Redis is: pure, from what a plan is told.

A plan says what to do about it; this says how much there is, also where a server is away and no
whole plan can be made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from feldspar.graph.graph import Graph, Table
from feldspar.graph.observed import Observed, TableState
from feldspar.graph.view import View
from feldspar.names import cursor, value_fingerprint
from feldspar.spec.source import DeltaSource

_LEDGER = ("ops", "ledger")
_STAGES = {"gold": "features", "history": "history"}


@dataclass(frozen=True)
class Unread:
    """The versions (after, upto] of a source that one table has not taken.

    Attributes:
        target: what is behind: ``silver.transactions``, ``gold.x``, ``online x``.
        layer: of the source; empty for a Delta table of somebody else's.
        name: of the source.
        after: None: nothing of it was taken, or all of it is to be taken anew.
        upto: the newest version there is.
    """

    target: str
    layer: str
    name: str
    after: int | None
    upto: int

    @property
    def source(self) -> str:
        """The source as people know it."""
        return f"{self.layer}.{self.name}" if self.layer else f"source {self.name}"

    @property
    def versions(self) -> int:
        """How many versions there are to take."""
        return self.upto - (-1 if self.after is None else self.after)


def unread(graph: Graph, observed: Observed) -> tuple[Unread, ...]:
    """One for each table and each view in Redis whose source is there, in the order of a run."""
    found = [*_silver(graph, observed), *_history(graph, observed)]
    return (*found, *_gold(graph, observed), *_online(graph, observed))


def _silver(graph: Graph, observed: Observed) -> Iterator[Unread]:
    for table in graph.tables.values():
        upto = _source_version(table, observed)
        if upto is None:
            continue
        silver, ledger = observed.tables.get(("silver", table.name)), observed.tables.get(_LEDGER)
        done = None
        if silver is not None and ledger is not None:
            done = ledger.cursors.get(cursor("refine", table.name, silver.generation))
        layer = "" if isinstance(table.source, DeltaSource) else "bronze"
        yield Unread(f"silver.{table.name}", layer, table.source_name, done, upto)


def _source_version(table: Table, observed: Observed) -> int | None:
    if isinstance(table.source, DeltaSource):
        source = observed.sources.get(table.source_name)
        return source.version if source else None
    bronze = observed.tables.get(("bronze", table.source_name))
    return bronze.version if bronze else None


def _history(graph: Graph, observed: Observed) -> Iterator[Unread]:
    for table in graph.tables.values():
        silver = observed.tables.get(("silver", table.name))
        if table.history is not None and silver is not None:
            kept = observed.tables.get(("history", table.name))
            yield _derived("history", table.name, kept, silver=(table.name, silver))


def _gold(graph: Graph, observed: Observed) -> Iterator[Unread]:
    for view in graph.views.values():
        silver = observed.tables.get(("silver", view.table))
        if silver is not None:
            gold = observed.tables.get(("gold", view.name))
            yield _derived("gold", view.name, gold, silver=(view.table, silver))


def _derived(
    layer: str, name: str, kept: TableState | None, *, silver: tuple[str, TableState]
) -> Unread:
    table, state = silver
    done = None
    if kept is not None and kept.source_generation == state.generation:
        done = kept.cursors.get(cursor(_STAGES[layer], name, kept.generation))
    return Unread(f"{layer}.{name}", "silver", table, done, state.version)


def _online(graph: Graph, observed: Observed) -> Iterator[Unread]:
    for view in graph.views.values():
        gold = observed.tables.get(("gold", view.name))
        if gold is not None:
            done = _pushed(view, observed, gold)
            yield Unread(f"online {view.name}", "gold", view.name, done, gold.version)


def _pushed(view: View, observed: Observed, gold: TableState) -> int | None:
    pushed = observed.pushed.get(view.name)
    if pushed is None or pushed.generation != gold.generation:
        return None
    same = pushed.definition == value_fingerprint(view.definition)
    return pushed.version if same else None
