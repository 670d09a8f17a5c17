"""Who reads a table in steps, and how far each has come: what a vacuum may not outrun.

A reader that has read up to a version wants that version as it was, and each file that later ones
added, even those that a merge has replaced since. One that begins anew reads the newest version and
wants nothing older.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from feldspar.graph.graph import Graph
from feldspar.graph.observed import Observed, TableId, TableState
from feldspar.names import cursor, value_fingerprint
from feldspar.spec.source import DeltaSource


@dataclass(frozen=True)
class Reader:
    """Something made from a table.

    Attributes:
        name: what is made, e.g. ``gold.customer_spend``.
        table: what it reads.
        version: up to which it has read.
        verb: the command that brings it up to the newest.
    """

    name: str
    table: TableId
    version: int
    verb: str


def readers(graph: Graph, observed: Observed) -> tuple[Reader, ...]:
    """Every reader of the lake's own tables that goes on from somewhere.

    Args:
        graph: what is made from what.
        observed: how far each has come; without ``pushed`` those of Redis are left out.
    """
    return (*_silver(graph, observed), *_derived(graph, observed), *_online(graph, observed))


def _silver(graph: Graph, observed: Observed) -> Iterator[Reader]:
    for name, table in graph.tables.items():
        if isinstance(table.source, DeltaSource):
            continue
        silver = observed.tables.get(("silver", name))
        key = cursor("refine", name, silver.generation if silver else 0)
        # the ledger confirms; what is ahead of it is an interrupted batch, with the same bounds.
        # Quarantine lags where nothing was refused
        places = (("ops", "ledger"), ("silver", name), ("quarantine", name))
        found = [_position(observed.tables.get(place), key) for place in places]
        position = next((one for one in found if one is not None), None)
        if position is not None:
            source = ("bronze", table.source_name)
            yield Reader(f"silver.{name}", source, position, "feldspar refine")


def _derived(graph: Graph, observed: Observed) -> Iterator[Reader]:
    followers = [("history", name, name) for name, one in graph.tables.items() if one.history]
    followers += [("gold", name, view.table) for name, view in graph.views.items()]
    for layer, name, table in followers:
        state, silver = (observed.tables.get(one) for one in ((layer, name), ("silver", table)))
        if state is None or silver is None or state.source_generation != silver.generation:
            continue
        stage = "features" if layer == "gold" else "history"
        position = _position(state, cursor(stage, name, state.generation))
        if position is not None:
            yield Reader(f"{layer}.{name}", ("silver", table), position, f"feldspar {stage}")


def _online(graph: Graph, observed: Observed) -> Iterator[Reader]:
    for name, view in graph.views.items():
        pushed, gold = observed.pushed.get(name), observed.tables.get(("gold", name))
        if pushed is None or gold is None or pushed.generation != gold.generation:
            continue
        if pushed.definition == value_fingerprint(view.definition):
            verb = "feldspar online push"
            yield Reader(f"{name} in Redis", ("gold", name), pushed.version, verb)


def _position(state: TableState | None, key: str) -> int | None:
    return None if state is None else state.cursors.get(key)
