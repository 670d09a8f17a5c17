"""HTTP -> files in the lake's inbox, a page each, which ``ingest.files`` then takes to bronze.

Order for a page: its file, under a name that nobody else has, then its row in ``ops.pages`` with
the cursor ``pull:<source>`` = number of the page. The row is the page: it says which file it is,
and what to ask for next. A run that stops between the two leaves a file that nobody reads, and the
same request is made again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from feldspar.errors import InputError
from feldspar.graph.observed import Asking
from feldspar.graph.steps import IngestStep
from feldspar.ingest.paging import Seen, items_of, next_of, request_of, sifted
from feldspar.stores import objects
from feldspar.stores.http import Server
from feldspar.stores.tables import epochs, pages
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from feldspar.times import to_micros

Progress = Callable[[str], None]


def pull_pages(
    step: IngestStep,
    server: Server,
    lake: Lake,
    *,
    epoch: int,
    now: datetime,
    progress: Progress,
) -> int:
    """Asks for the step's page and those after it, ``most`` at most, and keeps each as it comes.

    Args:
        step: names the page to begin with.
        server: of the source.
        lake: where pages are kept.
        epoch: of the run; 0: nobody else writes here.
        now: when it is asked.
        progress: is told what came.

    Returns:
        How many items were new.

    Raises:
        OvertakenError: another run has asked since the plan was made, or does now.
        UnreachableError: the server, or the store, does not answer; pages that came are kept.
        InputError: an answer does not hold what the source says.
        StoreError: the server refuses.
    """
    asking, app = step.asking, pages.app(step.source)
    if asking is None:
        raise InputError(f"{step.name}: the step names no page", hint="feldspar plan")
    found = epochs.claim(lake, "ops", pages.TABLE, app=app, epoch=epoch).position
    planned = asking.page - 1 if asking.page else None
    epochs.refuse_stale(f"{step.name}, page", planned=planned, found=found)
    last = pages.newest(lake, step.source)
    seen = Seen() if last is None else Seen(last.newest, last.recent)
    kept, writer = 0, objects.opened_writer(lake.storage)
    for _ in range(server.source.most):
        page, lines = _asked(asking, server, seen, at=to_micros(now))
        if lines:
            content = "".join(f"{line}\n" for line in lines).encode()
            uri = f"{lake.pulled(step.source)}/{asking.page:012d}-{uuid.uuid4().hex[:12]}.jsonl"
            writer(uri, content)
            page = replace(page, uri=uri, size=len(content))
        pages.record(lake, step.source, page, txn=Txn(app, page.number, epoch))
        seen, kept = Seen(page.newest, page.recent), kept + page.kept
        asking = Asking(page.number + 1, page.next, page.since)
        if page.next is None:
            break
    more = "; the list goes on" if asking.next is not None else ""
    progress(f"{step.name}: {kept:,} new items{more}")
    return kept


def _asked(asking: Asking, server: Server, seen: Seen, *, at: int) -> tuple[pages.Page, list[str]]:
    """One page, and the items of it that are new."""
    source = server.source
    answer = server.page(*request_of(source, asking))
    try:
        items = items_of(answer.text, source)
        following = next_of(answer.text, source, asking, items=len(items), link=answer.link)
        lines, now_seen = sifted(items, source.since, seen)
    except InputError as error:
        text = f"source {server.name}: {source.url}: {error.message}"
        raise InputError(text, hint=error.hint or f"see conf/sources/{server.name}.yaml") from error
    page = pages.Page(
        number=asking.page,
        items=len(items),
        kept=len(lines),
        uri=None,
        size=0,
        next=following,
        since=asking.since,
        newest=now_seen.newest,
        at=at,
        recent=now_seen.recent,
    )
    return page, lines
