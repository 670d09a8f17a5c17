"""``feldspar online show``: what is served of one entity and from what, without a JVM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.online.state import of_history, pack_state
from feldspar.spec.loading import load_definitions
from feldspar.stores.events import StoredEvents
from feldspar.stores.online import Cursor, OnlineSettings, OnlineStore, Write
from feldspar.stores.retain import Horizon
from feldspar.stores.rows import StoredRow, pack_rows
from feldspar.stores.tiles import value_layout
from feldspar.times import to_micros
from support.console import Ran, feldspar
from support.scoring import DAY, NOON, Payment, put_features
from support.small_project import write_project
from support.valkey import Valkey, valkey

HOURLY = """\
entity: customer
from: transactions
windows: [1d, 7d]
hop: 1h
request_event: exclude
features:
  total: {value: sum(amount), default: 0}
"""
NUMBERS = count()
PAID = {7: [Payment(1, 10.0, 0.5), Payment(2, 20.0, 3), Payment(3, 70.0, 40)]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@dataclass(frozen=True)
class Project:
    """A project with features of one customer in Redis."""

    folder: Path
    graph: Graph
    store: OnlineStore

    def show(self, *words: str) -> Ran:
        return feldspar(self.folder, "online", "show", *words)

    def facts(self, *words: str) -> Any:
        return json.loads(self.show(*words, "--json").stdout)["views"]


@pytest.fixture
def project(server: Valkey, tmp_path: Path) -> Iterator[Project]:
    namespace = f"show_{next(NUMBERS)}"
    environment = (
        f"namespace: {namespace}\nclock: data\nstorage: {{root: lake}}\n"
        f"redis: {{url: '{server.url}'}}\nmlflow: {{tracking_uri: 'sqlite:///m.db'}}\n"
    )
    files = {"environments/local.yaml": environment, "views/hourly.yaml": HOURLY}
    graph = compile_graph(load_definitions(write_project(tmp_path, files), {}))
    with OnlineStore(OnlineSettings(server.url, namespace, "data")) as store:
        put_features(graph, store, PAID)
        yield Project(tmp_path, graph, store)


def test_it_says_what_is_served_how_old_it_is_and_from_which_events(project: Project) -> None:
    told = project.show("customer", "7").stdout

    for text in (
        "customer 7 at 2024-05-20 12:00:00Z, by the data clock",
        "customer_spend: fresh, newest 2024-05-20 00:00:00Z (12h old), 6d 12h left",
        "pushed up to gold version 3 at 2024-05-20 12:00:00Z, epoch 1",
        "from 3 events: 2 counts, 1 outside",
        "counts 1d 7d",
        "last_payment: fresh",
        "hourly: not pushed",
        "next: feldspar apply",
    ):
        assert text in told


def test_as_json_each_event_has_its_windows_and_times(project: Project) -> None:
    spend = project.facts("customer", "7", "--view", "customer_spend")["customer_spend"]

    assert spend["features"]["customer_spend__count_7d"] == 2
    assert [(one["event_id"], one["state"], one["windows"]) for one in spend["kept"]] == [
        (1, "counts", ["1d", "7d"]),
        (2, "counts", ["7d"]),
        (3, "outside", []),
    ]
    assert spend["kept"][0]["event_time"] == "2024-05-20T00:00:00+00:00"
    assert (spend["cursor"]["version"], spend["value"]["version"]) == (3, 3)


def test_a_row_that_is_not_visible_yet_is_pending(project: Project) -> None:
    view, late = project.graph.view("last_payment"), to_micros(NOON + DAY)
    row = StoredRow(late, late, 1, 0, late, {"last_amount": 99.0})
    value = pack_rows(value_layout(view), [row], epoch=1)
    key = project.store.key("customer", [7], view.online_name)
    project.store.write([Write(key, value, None)], kind="row", floor=to_micros(NOON - 7 * DAY))

    now = project.facts("customer", "7", "--view", "last_payment")["last_payment"]
    later = project.facts(
        "customer", "7", "--view", "last_payment", "--as-of", "2024-05-21T12:00:00Z"
    )["last_payment"]

    assert [one["state"] for one in now["kept"]] == ["pending", "served", "older", "older"]
    assert [one["features"]["last_payment__last_amount"] for one in (now, later)] == [10.0, 99.0]


def test_a_time_that_redis_does_not_keep_names_what_to_run(project: Project) -> None:
    told = project.show("customer", "7", "--as-of", "2024-01-01T00:00:00Z").stdout

    assert "last_payment: too early" in told
    assert "Redis answers from 2024-05-13 12:00:00Z on" in told
    assert 'feldspar query "select * from gold.last_payment where customer_id = 7"' in told
    assert "feldspar training-set fraud --spine FILE --out FILE" in told


def test_tiles_are_shown_with_what_they_hold(project: Project) -> None:
    view, noon = project.graph.view("hourly"), to_micros(NOON)
    layout, hour = value_layout(view), timedelta(hours=1) // timedelta(microseconds=1)
    times = [noon - 30 * hour, noon - 26 * hour, noon - hour // 2]
    zeros = [0] * 3
    events = StoredEvents(
        [1, 2, 3], times, times, zeros, zeros, [False] * 3, {layout.columns[0][0]: [1.0, 2.0, 4.0]}
    )
    horizon = Horizon(noon, 7 * 24 * hour + hour, 0)
    value = pack_state(layout, of_history(events, horizon, layout), epoch=1, version=5)
    key = project.store.key("customer", [7], view.online_name)
    project.store.write([Write(key, value, None)], kind="events", floor=noon)
    project.store.set_cursor(view.online_name, Cursor(5, "d", 0, 1, noon, noon), before=None)

    found = project.facts("customer", "7", "--view", "hourly")["hourly"]
    told = project.show("customer", "7", "--view", "hourly").stdout

    totals = [one["parts"]["total(amount)"] for one in found["tiles"]]
    assert (totals, found["features"]["hourly__total_7d"]) == ([2.0, 1.0], 7.0)
    assert [(one["event_id"], one["windows"]) for one in found["kept"]] == [(3, ["1d", "7d"])]
    assert ("from 2 tiles" in told, "from 1 events: 1 counts" in told) == (True, True)


def test_an_entity_that_redis_knows_nothing_of_is_missing(project: Project) -> None:
    found = project.facts("customer", "8", "--view", "last_payment")["last_payment"]

    assert (found["state"], found["value"], found["kept"]) == ("missing", None, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("custmer", "7"), "there is no entity 'custmer'; nearest: customer"),
        (("customer", "seven"), "customer_id is a bigint; found 'seven'"),
        (("customer", "7", "8"), "customer is named by customer_id; found 7 8"),
        (("customer", "7", "--view", "last_paymnt"), "nearest: last_payment"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(
    project: Project, words: tuple[str, ...], said: str
) -> None:
    done = project.show(*words)

    assert (done.returncode, said in done.stderr) == (2, True)
