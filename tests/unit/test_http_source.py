"""HTTP -> files, on a real server that pages, fails and changes: each item once, errors told."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from feldspar.errors import (
    DefinitionError,
    FeldsparError,
    InputError,
    OvertakenError,
    StoreError,
    UnreachableError,
)
from feldspar.graph.compile import compile_graph
from feldspar.graph.observed import Asking, PagesState, WaitingFile
from feldspar.graph.planning.pages import next_pages
from feldspar.graph.steps import IngestStep, Status
from feldspar.ingest.pages import pull_pages
from feldspar.ingest.paging import Seen, items_of, next_of, sifted
from feldspar.spec.loading import load_definitions
from feldspar.spec.paging import Since
from feldspar.spec.source import HttpSource
from feldspar.stack.ports import HOST, free_port
from feldspar.stores import deployed
from feldspar.stores.http import TRIES, open_server
from feldspar.stores.tables.lake import Lake
from feldspar.times import utc_now
from support.paged_api import Item, PagedApi, paged_api
from support.places import disk_environment, silent
from support.small_project import write_project

CURSOR = {"by": "cursor", "parameter": "after", "path": "meta.next"}
SINCE = {"parameter": "since", "field": "updated_at"}
NAME = "orders"


@pytest.fixture
def api() -> Iterator[PagedApi]:
    with paged_api(items=[item(number) for number in range(7)]) as running:
        yield running


def item(number: int, minute: int | None = None) -> Item:
    at = number if minute is None else minute
    return {"id": number, "updated_at": f"2018-04-01T10:{at:02d}:00Z"}


def source_of(api: PagedApi, **settings: object) -> HttpSource:
    values: dict[str, object] = {
        "kind": "http",
        "url": api.url,
        "items": "data.orders",
        "paging": CURSOR,
        "every": timedelta(0),
        "rate": 1000,
        "event_time": "updated_at",
        "known_time": "ingested",
    }
    return HttpSource.model_validate({**values, **settings})


@dataclass(frozen=True)
class Client:
    """A source and the lake that its pages lie in."""

    source: HttpSource
    lake: Lake
    taken: list[int] = field(default_factory=list)

    def step(self) -> IngestStep:
        found = next_pages(deployed.pages_state(NAME, self.lake), self.source)
        return IngestStep(
            f"bronze.{NAME}",
            found.status,
            found.reason,
            source=NAME,
            files=(),
            batch=0,
            resume=False,
            asking=found.asking,
        )

    def pull(self, step: IngestStep | None = None) -> int:
        with open_server(self.source, NAME, patience=0.001) as server:
            planned = step or self.step()
            now = utc_now()
            return pull_pages(planned, server, self.lake, epoch=0, now=now, progress=silent)

    def items(self) -> list[int]:
        """Numbers of the items in all files that would be loaded."""
        files = deployed.pages_state(NAME, self.lake).waiting
        lines = [
            line
            for file in files
            for line in Path(file.uri).read_text(encoding="utf-8").splitlines()
        ]
        return [json.loads(line)["id"] for line in lines]


def client_of(folder: Path, source: HttpSource) -> Client:
    return Client(source, Lake.of(disk_environment(folder)))


PAGINGS: dict[str, dict[str, Any]] = {
    "by cursor": CURSOR,
    "by a link in the answer": {"by": "link", "path": "meta.link"},
    "by a link in a header": {"by": "link"},
    "by number": {"by": "page"},
}


@pytest.mark.parametrize("paging", PAGINGS.values(), ids=PAGINGS)
def test_each_item_of_all_pages_is_there_once(
    tmp_path: Path, api: PagedApi, paging: dict[str, Any]
) -> None:
    client = client_of(tmp_path, source_of(api, paging=paging))

    client.pull()

    assert client.items() == list(range(7))
    assert client.step().reason.endswith("pages wait to be loaded; asks for all items")


def test_a_round_asks_from_the_newest_of_the_one_before_and_keeps_what_is_new(
    tmp_path: Path, api: PagedApi
) -> None:
    client = client_of(tmp_path, source_of(api, since=SINCE))
    client.pull()
    # as new as the newest, and one that changed
    api.items += [item(20, minute=6), item(3, minute=9)]

    reason = client.step().reason
    kept = client.pull()

    assert reason.endswith("; asks for items since 2018-04-01T10:06:00Z")
    assert (kept, client.items()) == (2, [*range(7), 20, 3])


def test_a_round_without_anything_new_leaves_no_file(tmp_path: Path, api: PagedApi) -> None:
    client = client_of(tmp_path, source_of(api, since=SINCE))
    client.pull()

    assert (client.pull(), client.pull(), client.items()) == (0, 0, list(range(7)))


def test_items_that_appear_late_within_the_overlap_are_taken_once(
    tmp_path: Path, api: PagedApi
) -> None:
    client = client_of(tmp_path, source_of(api, since={**SINCE, "overlap": "2m"}))
    client.pull()
    api.items += [item(20, minute=5)]

    assert (client.pull(), client.pull(), client.items()) == (1, 0, [*range(7), 20])


def test_a_load_asks_for_no_more_pages_than_it_may_and_the_next_one_goes_on(
    tmp_path: Path, api: PagedApi
) -> None:
    client = client_of(tmp_path, source_of(api, most=1))
    client.pull()
    reason = client.step().reason
    client.pull()

    assert reason == "1 pages wait to be loaded; the list goes on at page 2"
    assert client.items() == list(range(6))


def test_what_changes_between_pages_is_neither_lost_nor_doubled(
    tmp_path: Path, api: PagedApi
) -> None:
    new = iter([item(20, minute=8), item(0, minute=9)])
    client = client_of(tmp_path, source_of(api, since=SINCE))

    def change() -> None:
        api.items += [one for one in [next(new, None)] if one is not None]

    api.after_page = change
    client.pull()
    client.pull()

    assert client.items() == [*range(7), 20, 0]


@pytest.mark.parametrize("fault", [500, 503, 429, "cut"])
def test_a_request_that_fails_is_repeated(tmp_path: Path, api: PagedApi, fault: int | str) -> None:
    client = client_of(tmp_path, source_of(api))
    api.faults = deque([None, fault])

    client.pull()

    assert client.items() == list(range(7))


def test_a_server_that_fails_for_good_leaves_what_came_and_is_asked_on_from_there(
    tmp_path: Path, api: PagedApi
) -> None:
    client = client_of(tmp_path, source_of(api))
    api.faults = deque([None, *[500] * TRIES])

    with pytest.raises(UnreachableError, match=r"answers 500: sorry \(6 tries\)"):
        client.pull()
    between = client.items()
    client.pull()

    assert (between, client.items()) == ([0, 1, 2], list(range(7)))


def test_a_file_that_no_row_names_is_not_read(tmp_path: Path, api: PagedApi) -> None:
    client = client_of(tmp_path, source_of(api))
    left = Path(client.lake.pulled(NAME)) / "000000000000-stopped.jsonl"
    left.parent.mkdir(parents=True)
    left.write_text('{"id": 99}\n', encoding="utf-8")

    client.pull()

    assert client.items() == list(range(7))


def test_a_run_whose_plan_another_one_carried_out_asks_for_nothing(
    tmp_path: Path, api: PagedApi
) -> None:
    client = client_of(tmp_path, source_of(api))
    planned = client.step()
    client.pull()
    asked = len(api.queries)

    with pytest.raises(OvertakenError):
        client.pull(planned)

    assert (len(api.queries), client.items()) == (asked, list(range(7)))


class TestTokens:
    @pytest.mark.parametrize(
        ("settings", "header", "wanted"),
        [
            ({"token": "s3cret"}, "Authorization", "Bearer s3cret"),
            ({"token": "s3cret", "header": "X-Api-Key"}, "X-Api-Key", "s3cret"),
        ],
    )
    def test_a_token_opens_the_list(
        self, tmp_path: Path, api: PagedApi, settings: dict[str, str], header: str, wanted: str
    ) -> None:
        api.token, api.header = wanted, header
        client = client_of(tmp_path, source_of(api, **settings))

        client.pull()

        assert client.items() == list(range(7))

    def test_a_wrong_one_is_told_and_not_repeated(self, tmp_path: Path, api: PagedApi) -> None:
        api.token = "Bearer s3cret"
        told = error_of(tmp_path, source_of(api, token="hunter2"))

        assert told.message == f"source orders: {api.url} answers 401: who are you?"
        assert (type(told), "hunter2" in str(told), len(api.queries)) == (StoreError, False, 1)

    def test_a_link_to_another_server_is_not_followed(self, tmp_path: Path, api: PagedApi) -> None:
        with paged_api() as other:
            api.elsewhere = other.url
            source = source_of(api, token="s3cret", paging={"by": "link"})
            told = error_of(tmp_path, source)

        assert (type(told), other.queries) == (StoreError, [])
        assert "another server: it is not asked" in told.message


def error_of(folder: Path, source: HttpSource) -> FeldsparError:
    with pytest.raises(FeldsparError) as told:
        client_of(folder, source).pull()
    return told.value


ERRORS = {
    "no list of that name": (
        {"items": "data.order"},
        "an answer has no list at data.order ('items'); there is ",
    ),
    "nothing of that name": (
        {"items": "dat.orders"},
        "an answer has no list at dat.orders ('items'); nearest: data",
    ),
    "an object in place of a list": (
        {"items": ""},
        "an answer has no list ('items' says where it is); it has data, meta",
    ),
    "items without the field": (
        {"since": {"parameter": "since", "field": "updated"}},
        "updated of item 0: nothing is neither a whole number nor an ISO 8601 time",
    ),
    "an overlap of the other kind": (
        {"since": {**SINCE, "overlap": 1000}},
        "since.field updated_at is a time, so since.overlap is a length of time such as 10m",
    ),
    "a cursor that never ends": (
        {"paging": {"by": "cursor", "parameter": "x", "path": "meta.next"}},
        "names itself as the next one; check 'paging'",
    ),
}


@pytest.mark.parametrize(("settings", "text"), ERRORS.values(), ids=ERRORS)
def test_an_answer_that_is_not_as_the_source_says_is_told(
    tmp_path: Path, api: PagedApi, settings: dict[str, Any], text: str
) -> None:
    told = error_of(tmp_path, source_of(api, **settings))

    assert (type(told), text in told.message) == (InputError, True), told.message


def test_an_address_with_nothing_at_it_is_told(tmp_path: Path, api: PagedApi) -> None:
    api.faults = deque([404])

    told = error_of(tmp_path, source_of(api))

    assert (type(told), told.hint) == (InputError, "check 'url' in conf/sources/orders.yaml")


def test_a_server_that_is_away_is_told(tmp_path: Path, api: PagedApi) -> None:
    told = error_of(tmp_path, source_of(api, url=f"http://{HOST}:{free_port(())}/orders"))

    assert (type(told), "does not answer" in told.message) == (UnreachableError, True)


def test_values_stay_as_they_were_written() -> None:
    source = source_of(PagedApi(), items="")

    found = items_of('[{"a": 2.50,\n "b": "x\\ny\u2028"},\r\n {"a": null}]', source)

    assert found == ['{"a": 2.50,  "b": "x\\ny\u2028"}', '{"a": null}']


def test_what_is_no_json_is_told() -> None:
    with pytest.raises(InputError, match="it is '<html>'"):
        items_of("<html>", source_of(PagedApi()))


def test_an_empty_cursor_ends_the_list() -> None:
    source = source_of(PagedApi())

    assert next_of('{"meta": {"next": ""}}', source, Asking(0), items=3, link=None) is None


def test_numbers_are_in_order_of_their_size() -> None:
    since = Since(parameter="after_id", field="id", overlap=2)

    kept, seen = sifted(['{"id": 9}', '{"id": 10}', '{"id": 7}'], since, Seen())

    assert (len(kept), seen.newest, sorted(seen.recent.values())) == (3, "10", [9, 10])
    assert since.after(seen.newest) == "8"


def test_times_after_numbers_are_told() -> None:
    since = Since(parameter="after", field="id")

    with pytest.raises(InputError, match="not as those before it"):
        sifted(['{"id": 9}', '{"id": "2018-04-01T10:00:00Z"}'], since, Seen())


STATE = PagesState(at=60_000_000, pages=4, asked=0, newest="2018-04-01T10:00:00Z")


@pytest.mark.parametrize(
    ("state", "status", "reason"),
    [
        (PagesState(at=0), Status.RUN, "asks for all items"),
        (STATE, Status.NOTHING, "asked every 2m, the next time in 1m"),
        (
            PagesState(at=0, waiting=(WaitingFile("a", 1, 1),), pages=1, asked=0),
            Status.RUN,
            "1 pages wait to be loaded",
        ),
        (
            PagesState(at=0, pages=1, next="x", asked=0),
            Status.RUN,
            "the list goes on at page 2",
        ),
    ],
)
def test_a_server_is_asked_when_it_is_due(state: PagesState, status: Status, reason: str) -> None:
    source = source_of(PagedApi(), every=timedelta(minutes=2), since=SINCE)

    found = next_pages(state, source)

    assert (found.status, found.reason) == (status, reason)


TEXT = """\
kind: http
url: https://api.example.com/v1/orders
items: data
paging: {by: cursor, parameter: after, path: meta.next}
since: {parameter: updated_since, field: updated_at, overlap: 5m}
token: ${SHOP_TOKEN}
event_time: tx_datetime
known_time: ingested
zone: UTC
"""


def loaded(folder: Path, text: str) -> HttpSource:
    conf = write_project(folder, {"sources/payments.yaml": text})
    graph = compile_graph(load_definitions(conf, {"SHOP_TOKEN": "s3cret"}))
    source = graph.sources["payments"]
    assert isinstance(source, HttpSource)
    assert "api.example.com" not in graph.table("transactions").definition
    return source


def test_a_token_and_an_address_are_no_part_of_what_is_stored(tmp_path: Path) -> None:
    source = loaded(tmp_path, TEXT)

    assert (source.token, "s3cret" in repr(source)) == ("s3cret", False)


def test_a_token_in_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="token: a secret is not written in a file"):
        loaded(tmp_path, TEXT.replace("${SHOP_TOKEN}", "hunter2"))


def test_a_header_without_a_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="'header' takes a 'token'"):
        loaded(tmp_path, TEXT.replace("token: ${SHOP_TOKEN}", "header: X-Api-Key"))
