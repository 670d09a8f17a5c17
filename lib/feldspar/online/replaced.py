"""Values of definitions that another one has replaced: kept for those who serve them, then cleared.

Each definition has keys and a cursor of its own, so a process with the old conf/ and one with the
new one both read what they understand. Going back to a definition goes on from its own cursor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from feldspar.graph.view import View
from feldspar.stores.cursors import Cursor
from feldspar.stores.online import OnlineStore
from feldspar.times import to_micros, utc_now


def took_over(view: View, store: OnlineStore, cursor: Cursor) -> Cursor:
    """The cursor with the time since when no other definition was pushed."""
    found = store.definitions(view.name)
    before = found.pop(view.online_name, None)
    last = max((one.pushed for one in found.values()), default=0)
    is_same = before is not None and before.pushed > last
    return replace(cursor, since=before.since if before and is_same else cursor.pushed)


def clear_replaced(view: View, store: OnlineStore, *, progress: Callable[[str], None]) -> None:
    """Clears values of other definitions, once ours has stood for ``redis.keep_replaced``."""
    found = store.definitions(view.name)
    ours = found.pop(view.online_name, None)
    if not found or ours is None:
        return
    if to_micros(utc_now()) - ours.since >= store.settings.keep_replaced:
        gone = store.clear(sorted(found))
        progress(f"online {view.name}: {gone} values of replaced definitions cleared")
