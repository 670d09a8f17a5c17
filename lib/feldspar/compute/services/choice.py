"""Which engine joins a spine with a view's rows, and why: the same choice runs and explains.

Nothing here needs Spark: what is chosen can be told before a JVM is started.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from feldspar.graph.view import PlainView, View

Engine = Literal["bucketed", "union", "cogroup"]


@dataclass(frozen=True)
class Choice:
    """An engine and the reason for it."""

    engine: Engine
    reason: str


def choose(view: View, *, direct: bool, in_buckets: bool) -> Choice:
    """The engine for one view.

    Args:
        view: whose rows are joined.
        direct: whether tasks may read data files themselves (``storage.direct_reads``).
        in_buckets: whether the table is laid out in buckets of the entity.
    """
    if direct and in_buckets:
        return Choice("bucketed", "tasks read their buckets' files, only the spine moves")
    why = "tasks may not read data files (storage.direct_reads)"
    if direct:
        why = "the table is not laid out in buckets of the entity"
    if isinstance(view, PlainView):
        return Choice("union", f"{why}: SQL alone, Spark sorts rows and spine together")
    return Choice("cogroup", f"{why}: Spark moves the events to one task a bucket")
