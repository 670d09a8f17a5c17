"""Restores an emptied or doubtful Redis from gold: clears what is ours, pushes every entity.

Between the two a view has no values; a plain ``push`` never leaves such a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from feldspar.errors import UsageError
from feldspar.graph.view import View
from feldspar.online.push import PushResult, push
from feldspar.stores.online import OnlineStore, Patience
from feldspar.stores.tables.log import GENERATION
from feldspar.stores.tables.spark import SparkTables


def rebuild(
    views: Sequence[View],
    *,
    tables: SparkTables,
    store: OnlineStore,
    clock: int,
    progress: Callable[[str], None],
) -> tuple[PushResult, ...]:
    """Clears and pushes views at the newest version of their gold tables.

    Args:
        views: those without a gold table are left out.
        tables: the lake.
        store: the store.
        clock: now, in microseconds.
        progress: gets a line for each view.

    Raises:
        UsageError: none of the views has a gold table.
        UnreachableError: Redis does not answer.
    """
    ready = [view for view in views if tables.exists("gold", view.name)]
    if not ready:
        names = ", ".join(view.name for view in views)
        raise UsageError(f"none of these has a gold table: {names}", hint="feldspar apply")
    with OnlineStore(store.settings, Patience.JOB) as patient:
        gone = patient.clear([view.name for view in ready])
    progress(f"cleared {gone} keys")
    results = []
    for view in ready:
        generation = int(tables.properties("gold", view.name).get(GENERATION, "0"))
        result = push(
            view,
            tables=tables,
            store=store,
            after=None,
            generation=generation,
            clock=clock,
            progress=progress,
        )
        progress(f"online {view.name}: {result.written} entities, {result.seconds:.1f} s")
        results.append(result)
    return tuple(results)
