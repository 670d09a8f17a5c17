"""Rows pushed over HTTP: judged, kept before the answer, served at once; real server, real disk."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from feldspar.serving.app import create_app
from feldspar.serving.backend import Backend
from feldspar.stack.ports import HOST, free_port
from feldspar.stack.processes import ended_within, spawn
from feldspar.stores.online import OnlineStore
from feldspar.times import from_micros, parse_instant
from support.http import serving
from support.valkey import Valkey, valkey
from support.visits import Visits, put_cursors, visit, visits_project

ENVIRONMENT = """\
namespace: shop
clock: wall
storage: {root: lake}
redis: {url: "${SHOP_REDIS}"}
mlflow: {tracking_uri: "${SHOP_MLFLOW}"}
"""
_NAMES = count()


@dataclass(frozen=True)
class Site:
    visits: Visits
    server: Valkey
    client: httpx.Client

    def push(self, *rows: Any, source: str = "visits") -> httpx.Response:
        return self.client.post(f"/push/{source}", json=rows[0] if len(rows) == 1 else list(rows))

    def update(self, customer: Any, **columns: Any) -> httpx.Response:
        return self.client.post(f"/update-features/{customer}", json=columns)

    def features(self, customer: int = 1) -> dict[str, Any]:
        body = {"service": "visiting", "customer_id": customer}
        found: dict[str, Any] = self.client.post("/features", json=body).json()["features"]
        return found

    def last(self, customer: int = 1) -> tuple[Any, ...]:
        """Balance, logins and device as they are served."""
        found = self.features(customer)
        return tuple(found[f"last_visit__{name}"] for name in ("balance", "logins", "device"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def site(server: Valkey, tmp_path: Path) -> Iterator[Site]:
    visits = visits_project(tmp_path, server.url, f"n{next(_NAMES)}")
    with serving(create_app(Backend(visits.graph, visits.environment))) as client:
        yield Site(visits, server, client)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    """A site whose Redis a test may stop."""
    with valkey(tmp_path / "valkey") as server:
        visits = visits_project(tmp_path, server.url, "own")
        with serving(create_app(Backend(visits.graph, visits.environment))) as client:
            yield Site(visits, server, client)


def ago(**length: float) -> str:
    return (datetime.now(UTC) - timedelta(**length)).isoformat()


def test_a_row_is_kept_and_served_when_it_is_answered(site: Site) -> None:
    answer = site.push(visit(1, balance=77.25))

    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["accepted"], told["rejected"]) == (1, [])
    assert set(told["views"].values()) == {"written"}
    kept = [(row["visit_id"], row["_pushed_at"]) for row in site.visits.kept()]
    assert kept == [("1", told["known_time"][0])]
    features = site.features()
    assert features["last_visit__balance"] == 77.25
    assert (features["visit_load__visits_1d"], features["visit_load__total_1d"]) == (1, 77.25)
    assert features["visit_hours__visits_7d"] == 1


def test_rows_of_one_request_are_known_one_after_the_other(site: Site) -> None:
    answer = site.push(*(visit(number, balance=number) for number in range(20)))

    known = answer.json()["known_time"]
    assert len(known) == 20
    assert all(one < other for one, other in pairwise(known))
    assert site.last()[0] == 19.0
    assert site.features()["visit_load__visits_1d"] == 20


def test_one_row_that_does_not_pass_takes_the_request_with_it(site: Site) -> None:
    wrong = visit(2, balance="much", device="fax", customer_id=None, logins=700)
    answer = site.push(visit(1), wrong, visit(3, colour="red"))

    assert answer.status_code == 422
    assert answer.json()["rejected"] == [
        {
            "index": 1,
            "reasons": [
                "balance:not_a_finite_number",
                "customer_id:not_null",
                "device:in",
                "rule:few_logins",
            ],
        },
        {"index": 2, "reasons": ["colour:unknown_column"]},
    ]
    assert site.visits.files() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seen_at": "2024-05-20 25:00:00"}, "seen_at:not_a_timestamp"),
        ({"seen_at": ago(hours=-1)}, "event_time:in_the_future"),
        ({"visit_id": 1.5}, "visit_id:not_a_bigint"),
        ({"balance": 1e7}, "balance:between"),
        ({"seen_at": None}, "seen_at:not_null"),
    ],
)
def test_reasons_are_those_of_quarantine(site: Site, change: Any, reason: str) -> None:
    answer = site.push(visit(1, **change))

    assert answer.json()["rejected"] == [{"index": 0, "reasons": [reason]}]


def test_a_row_without_a_column_that_must_be_there_is_refused(site: Site) -> None:
    row = visit(1)
    del row["balance"], row["device"]

    assert site.push(row).json()["rejected"][0]["reasons"] == ["balance:missing_column"]


@pytest.mark.parametrize("body", ["", "7", "[]", "[1]", '{"a": 1', "[{}] {}", b"\xff", "{}" * 2])
def test_what_is_no_row_is_refused(site: Site, body: Any) -> None:
    answer = site.client.post("/push/visits", content=body)

    assert (answer.status_code, site.visits.files()) == (422, [])


def test_more_rows_than_a_request_may_have_are_refused(site: Site) -> None:
    answer = site.push(*(visit(number) for number in range(1_001)))

    assert answer.status_code == 422
    assert "1 to 1,000" in answer.json()["detail"]


def test_an_unknown_source_names_the_nearest(site: Site) -> None:
    answer = site.push(visit(1), source="visit")

    assert answer.status_code == 404
    assert "nearest: visits" in answer.json()["detail"]


def test_many_requests_share_few_objects(site: Site) -> None:
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda number: site.push(visit(number)), range(96)))

    assert {one.status_code for one in answers} == {200}
    assert len(site.visits.kept()) == 96
    assert len(site.visits.files()) < 96 / 3
    assert site.features()["visit_load__visits_1d"] == 96


def test_the_same_row_sent_again_is_the_same_row(site: Site) -> None:
    first, other = visit(1, balance=1.0), visit(1, balance=2.0)
    other["seen_at"] = first["seen_at"]
    answers = [site.push(one).json() for one in (first, other, first, first)]

    known = [one["known_time"][0] for one in answers]
    assert known[0] == known[2] == known[3] < known[1]
    assert len(site.visits.kept()) == 2
    assert site.last()[0] == 2.0
    assert site.features()["visit_load__total_1d"] == 2.0


def test_the_same_row_twice_in_a_request_is_one(site: Site) -> None:
    row = visit(1)
    answer = site.push(row, row)

    assert len(set(answer.json()["known_time"])) == 1
    assert len(site.visits.kept()) == 1
    assert site.features()["visit_load__visits_1d"] == 1


def test_an_older_row_that_comes_later_is_not_the_newest(site: Site) -> None:
    site.push(visit(1, balance=1.0))
    site.push(visit(2, balance=2.0, seen_at=ago(hours=3)))

    assert site.last()[0] == 1.0
    assert site.features()["visit_load__total_1d"] == 3.0


def test_an_update_keeps_the_columns_that_it_does_not_name(site: Site) -> None:
    site.push(visit(1, balance=5.0, logins=3, device="web"))
    answer = site.update(1, balance=6.5)

    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["status"], told["customer_id"]) == ("success", 1)
    assert told["features_updated"] == ["balance"]
    assert site.last() == (6.5, 3, "web")
    row = site.visits.kept()[-1]
    assert (row["balance"], row["logins"], row["device"]) == ("6.5", "3", "web")
    assert row["seen_at"] == row["_pushed_at"] == told["known_time"]


def test_updates_at_once_lose_nothing_of_each_other(site: Site) -> None:
    def update(number: int) -> int:
        columns = {"balance": 50.0} if number % 2 else {"logins": 9}
        return site.update(1, **columns).status_code

    site.push(visit(1, device="web"))
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(update, range(16))) == {200}

    assert site.last() == (50.0, 9, "web")


def test_an_update_of_a_new_entity_leaves_the_rest_null(site: Site) -> None:
    assert site.update(8, logins=1).status_code == 200
    assert site.last(8) == (None, 1, None)


def test_an_update_does_not_revive_what_the_ttl_has_ended(site: Site) -> None:
    site.push(visit(1, balance=5.0, seen_at=ago(hours=25)))
    site.update(1, logins=1)

    assert site.last() == (None, 1, None)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"balanc": 1}, "nearest: balance"),
        ({"customer_id": 2}, "stands in the path"),
        ({}, "a JSON object of columns"),
        ({"balance": -5000}, "balance:between"),
        ({"logins": "many"}, "logins:not_a_int"),
    ],
)
def test_an_update_that_does_not_pass_changes_nothing(site: Site, columns: Any, said: str) -> None:
    answer = site.update(1, **columns)

    assert (answer.status_code, site.visits.files()) == (422, [])
    assert said in answer.json()["detail"]


def test_a_key_of_another_type_is_refused(site: Site) -> None:
    answer = site.update("seven", balance=1)

    assert answer.status_code == 422
    assert "customer_id is a bigint" in answer.json()["detail"]


def test_without_redis_rows_are_kept_and_that_is_said(own: Site) -> None:
    own.server.stop()
    pushed, updated = own.push(visit(1, balance=4.0)), own.update(1, logins=5)

    assert pushed.status_code == updated.status_code == 503
    told = pushed.json()
    assert (told["durable"], told["online"], told["accepted"]) == (True, False, 1)
    assert [row["_pushed_at"] for row in own.visits.kept()] == told["known_time"]
    assert (updated.json()["durable"], updated.json()["accepted"]) == (False, 0)

    own.server.start()
    with OnlineStore.of(own.visits.environment) as store:
        put_cursors(own.visits.graph, store)
    assert own.push(visit(2, balance=8.0)).status_code == 200
    assert own.last()[0] == 8.0


def test_without_storage_nothing_is_kept_or_served(own: Site) -> None:
    own.visits.inbox.parent.mkdir(parents=True)
    # a file stands where the folder is to be
    own.visits.inbox.write_text("")
    row = visit(1, balance=4.0)
    answer = own.push(row)

    assert answer.status_code == 503
    told = answer.json()
    assert (told["durable"], told["online"], told["accepted"]) == (False, False, 0)
    assert own.client.post("/features", json={"service": "visiting", "customer_id": 1}).is_error

    own.visits.inbox.unlink()
    assert own.push(row).status_code == 200
    assert own.last()[0] == 4.0


def test_a_view_that_redis_does_not_hold_yet_waits(site: Site) -> None:
    with OnlineStore.of(site.visits.environment) as store:
        store.clear(["last_visit"])
    answer = site.push(visit(1))

    assert answer.status_code == 200
    assert answer.json()["views"]["last_visit"].startswith("waits: ")
    assert len(site.visits.kept()) == 1


def test_by_the_data_clock_rows_are_known_at_once_and_times_stand_still(
    server: Valkey, tmp_path: Path
) -> None:
    visits = visits_project(tmp_path, server.url, "dated")
    place = visits.environment.model_copy(update={"clock": "data"})
    with OnlineStore.of(place) as store:
        clock = from_micros(store.clock() or 0)
    with serving(create_app(Backend(visits.graph, place))) as client:
        row = visit(1, balance=3.0, seen_at=(clock - timedelta(hours=1)).isoformat())
        pushed = client.post("/push/visits", json=row).json()
        assert client.post("/update-features/1", json={"logins": 4}).status_code == 200
        asked = client.post("/features", json={"service": "visiting", "customer_id": 1}).json()
        late = (clock + timedelta(minutes=6)).isoformat()
        refused = client.post("/push/visits", json=visit(2, seen_at=late)).json()

    assert parse_instant(pushed["known_time"][0]) - clock == timedelta(microseconds=1)
    assert parse_instant(asked["timestamp"]) - clock == timedelta(microseconds=2)
    values = {name: asked["features"][f"last_visit__{name}"] for name in ("balance", "logins")}
    assert values == {"balance": 3.0, "logins": 4}
    assert refused["rejected"][0]["reasons"] == ["event_time:in_the_future"]


def test_the_answers_and_requests_are_documented(site: Site) -> None:
    paths = site.client.get("/openapi.json").json()["paths"]

    assert {*paths["/push/{source}"]["post"]["responses"]} >= {"200", "404", "422", "503"}
    parameters = paths["/update-features/{customer_id}"]["post"]["parameters"]
    assert [one["name"] for one in parameters] == ["customer_id"]


def test_every_answered_row_outlives_a_killed_process(tmp_path: Path) -> None:
    with valkey(tmp_path / "valkey") as server:
        visits = visits_project(tmp_path, server.url, "shop")
        (tmp_path / "conf" / "environments").mkdir()
        (tmp_path / "conf" / "environments" / "shop.yaml").write_text(ENVIRONMENT, encoding="utf-8")
        answered = _push_until_killed(tmp_path, server.url)

    assert len(answered) >= 100
    kept = {(int(row["visit_id"]), row["_pushed_at"]) for row in visits.kept()}
    assert set(answered) <= kept


def _push_until_killed(folder: Path, url: str) -> list[tuple[int, str]]:
    """Rows that a process answered with 200 before it was killed in the midst of more."""
    port, log = free_port(()), folder / "serving.log"
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "FELDSPAR_CONF": str(folder / "conf"),
        "FELDSPAR_ENV": "shop",
        "SHOP_REDIS": url,
        "SHOP_MLFLOW": f"sqlite:///{folder / 'mlflow.db'}",
    }
    command = [sys.executable, "-m", "feldspar.serving", "--host", HOST, "--port", str(port)]
    process = spawn(command, variables=variables, log=log)
    answered: list[tuple[int, str]] = []
    numbers = count()
    with httpx.Client(base_url=f"http://{HOST}:{port}", timeout=60, trust_env=False) as client:
        while not _up(client):
            assert not ended_within(process, 0.2), log.read_text(encoding="utf-8")

        def push(_: int) -> None:
            for number in numbers:
                try:
                    answer = client.post("/push/visits", json=visit(number, customer=number % 5))
                except httpx.TransportError:
                    return
                answered.append((number, answer.json()["known_time"][0]))
                if len(answered) == 100:
                    os.kill(process.pid, signal.SIGKILL)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(push, range(8)))
    assert ended_within(process, 30.0)
    return answered


def _up(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False
