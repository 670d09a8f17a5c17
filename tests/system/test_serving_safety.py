"""Who may ask the serving process what: the OWASP API Security Top 10 (2023), and every route.

Real servers throughout: HTTP, the Redis protocol, MLflow. Each group is named for its entry.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI

from feldspar.graph.graph import Graph
from feldspar.serving.access.rules import RULES, Routes
from feldspar.serving.app import create_app
from feldspar.serving.backend import Backend
from feldspar.spec.environment import Environment
from feldspar.spec.serving import ServingSpec
from feldspar.stores.online import OnlineStore
from feldspar.times import utc_now
from support.http import serving
from support.scoring import Payment, crown_champion, environment_with, put_features, small_graph
from support.serving_process import serving_process
from support.valkey import Valkey, valkey

PAYMENTS = {1: [Payment(11, 10.0, 0.5)], 2: [Payment(21, 7.0, 1.0)]}
EVENT: dict[str, Any] = {
    "transaction_id": 99,
    "tx_datetime": "2024-05-20T12:00:00Z",
    "customer_id": 1,
    "terminal_id": 5,
    "amount": 20.0,
}
ISSUER, AUDIENCE = "https://id.example.com", "feldspar"
PRIVATE = rsa.generate_private_key(65_537, 2_048)
PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
GRANTS: dict[str, dict[str, Any]] = {
    "everything": {"actions": "*"},
    "reader": {"actions": "read"},
    "lending_reader": {"actions": "read", "services": "lending"},
    "scorer": {"actions": "score", "services": "lending"},
    "first_customer": {"actions": ["read", "score"], "entities": {"customer_id": 1}},
    "pusher": {"actions": "push"},
    "prometheus": {"actions": "metrics"},
}
BLOCK: dict[str, Any] = {
    "keys": {name: {"secret": name.ljust(32, "-"), **one} for name, one in GRANTS.items()},
    "jwt": {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithms": "RS256",
        "public_key": "id.pem",
        "leeway_seconds": 0,
        "scopes": {"own": {"actions": ["read"], "entities": {"customer_id": "@sub"}}},
    },
    "limits": {"body_bytes": 4_096, "seconds": 5},
}


@dataclass(frozen=True)
class Shop:
    graph: Graph
    environment: Environment
    server: Valkey
    app: FastAPI
    client: httpx.Client

    @property
    def routes(self) -> list[tuple[str, str]]:
        """What the app itself says that it answers."""
        return [
            (method, str(vars(route)["path"]))
            for route in self.app.routes
            for method in sorted(vars(route)["methods"] - {"HEAD"})
        ]

    def ask(self, who: str, path: str, **body: Any) -> httpx.Response:
        return self.client.post(path, json=body, headers=key_of(who))

    def ask_with(self, token: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return self.client.post("/features", json={"customer_id": 1}, headers=headers)

    def changed(self, **block: Any) -> Environment:
        spec = ServingSpec.model_validate(block)
        return self.environment.model_copy(update={"serving": spec})


def key_of(who: str) -> dict[str, str]:
    return {"x-api-key": who.ljust(32, "-")}


def claims(**change: Any) -> dict[str, Any]:
    exp = int(utc_now().timestamp()) + 600
    found = {"iss": ISSUER, "aud": AUDIENCE, "sub": "1", "scope": "own", "exp": exp, **change}
    return {name: value for name, value in found.items() if value is not None}


def unsigned(header: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(one).encode()) for one in (header, payload))
    return b".".join(one.rstrip(b"=") for one in parts).decode()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("safety")
    (folder / "id.pem").write_bytes(PEM)
    with valkey(folder / "valkey") as server:
        graph = small_graph(folder)
        spec = ServingSpec.model_validate(BLOCK)
        environment = environment_with(folder, server.url, "safety").model_copy(
            update={"serving": spec}
        )
        crown_champion(graph, environment, "lending")
        with OnlineStore.of(environment) as store:
            put_features(graph, store, PAYMENTS)
        app = create_app(Backend(graph, environment))
        with serving(app) as client:
            yield Shop(graph, environment, server, app, client)


class TestApi1ObjectLevelAuthorization:
    """A caller who may ask for some customers asks for others."""

    @pytest.mark.parametrize("path", ["/score", "/features"])
    def test_a_key_of_one_customer_is_refused_for_another(self, shop: Shop, path: str) -> None:
        mine = shop.ask("first_customer", path, customer_id=1)
        others = shop.ask("first_customer", path, customer_id=2)

        assert (mine.status_code, others.status_code) == (200, 403)

    @pytest.mark.parametrize("path", ["/score/lending", "/features/lending"])
    def test_a_batch_with_one_row_of_another_customer_is_refused_whole(
        self, shop: Shop, path: str
    ) -> None:
        rows = [[{"customer_id": one} for one in many] for many in ([1, 1], [1, 2], [2, 1])]

        answers = [shop.ask("first_customer", path, entities=one) for one in rows]

        assert [one.status_code for one in answers] == [200, 403, 403]
        assert "answers" not in answers[1].json()

    def test_a_batch_of_events_counts_the_customers_inside(self, shop: Shop) -> None:
        events = [EVENT, {**EVENT, "customer_id": 2}]

        answer = shop.ask("first_customer", "/features/fraud", events=events)

        assert answer.status_code == 403

    def test_the_refusal_says_what_is_allowed(self, shop: Shop) -> None:
        said = shop.ask("first_customer", "/score", customer_id=2).json()

        assert said["detail"] == "caller first_customer may not score lending, customer_id 2"
        assert "read, score of services *, customer_id 1" in said["hint"]

    def test_an_unknown_customer_is_refused_like_a_known_one(self, shop: Shop) -> None:
        answers = [
            shop.ask("first_customer", "/features", customer_id=number) for number in (2, 404)
        ]

        said = [one.json()["detail"].rpartition(" ")[0] for one in answers]
        assert said[0] == said[1]
        assert [one.status_code for one in answers] == [403, 403]

    @pytest.mark.parametrize(("customer", "status"), [(1, 200), (2, 403)])
    def test_the_customer_inside_an_event_counts(
        self, shop: Shop, customer: int, status: int
    ) -> None:
        event = {**EVENT, "customer_id": customer}

        answer = shop.ask("first_customer", "/features", service="fraud", event=event)

        assert answer.status_code == status

    def test_a_token_is_for_its_own_customer(self, shop: Shop) -> None:
        answers = [
            shop.ask_with(jwt.encode(claims(sub=sub), PRIVATE, "RS256"))
            for sub in ("1", "2", "1*", "*")
        ]

        assert [one.status_code for one in answers] == [200, 403, 403, 403]


class TestApi2BrokenAuthentication:
    """A caller is not who they say."""

    @pytest.mark.parametrize(
        "change",
        [{"exp": 1}, {"exp": None}, {"aud": "other"}, {"aud": None}, {"iss": "x"}, {"iss": None}],
        ids=str,
    )
    def test_a_token_with_a_wrong_claim(self, shop: Shop, change: dict[str, Any]) -> None:
        answer = shop.ask_with(jwt.encode(claims(**change), PRIVATE, "RS256"))

        assert answer.status_code == 401

    @pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", ""])
    def test_a_token_without_a_signature(self, shop: Shop, algorithm: str) -> None:
        token = f"{unsigned({'alg': algorithm, 'typ': 'JWT'}, claims())}."

        assert shop.ask_with(token).status_code == 401

    def test_the_public_key_taken_for_a_secret(self, shop: Shop) -> None:
        start = unsigned({"alg": "HS256", "typ": "JWT"}, claims())
        signature = jwt.get_algorithm_by_name("HS256").sign(start.encode(), PEM)
        token = f"{start}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"

        assert shop.ask_with(token).status_code == 401

    def test_a_key_of_the_token_s_own(self, shop: Shop) -> None:
        other = rsa.generate_private_key(65_537, 2_048)
        own = jwt.algorithms.RSAAlgorithm.to_jwk(other.public_key(), as_dict=True)
        headers = {"jwk": own, "jku": "http://127.0.0.1:1/keys", "kid": "../../etc/passwd"}

        token = jwt.encode(claims(), other, "RS256", headers=headers)

        assert shop.ask_with(token).status_code == 401

    def test_a_changed_claim(self, shop: Shop) -> None:
        head, _, signature = jwt.encode(claims(sub="2"), PRIVATE, "RS256").split(".")
        changed = unsigned({}, claims(sub="1")).split(".")[1]

        assert shop.ask_with(f"{head}.{changed}.{signature}").status_code == 401

    @pytest.mark.parametrize("token", ["x", "a.b.c", "..", "é.é.é", "." * 9_000, "[" * 5_000])
    def test_garbage(self, shop: Shop, token: str) -> None:
        headers = [(b"authorization", b"Bearer " + token.encode("latin-1"))]

        answer = shop.client.post("/features", json={"customer_id": 1}, headers=headers)

        assert answer.status_code == 401

    def test_nothing_at_all(self, shop: Shop) -> None:
        answer = shop.client.post("/features", json={"customer_id": 1})

        challenge = answer.headers["www-authenticate"]
        assert (answer.status_code, challenge) == (401, 'Bearer realm="feldspar"')

    def test_what_was_wrong_is_not_told(self, shop: Shop) -> None:
        wrong = [
            shop.ask_with("garbage"),
            shop.ask_with(jwt.encode(claims(exp=1), PRIVATE, "RS256")),
            shop.ask_with(f"{unsigned({'alg': 'none'}, claims())}."),
            shop.ask("nearly_everything", "/features", customer_id=1),
        ]

        said = {(one.headers["www-authenticate"], one.json()["detail"]) for one in wrong}
        assert len(said) == 1


class TestApi3PropertyLevelAuthorization:
    """A request says more than it may: no field is taken that was not declared."""

    @pytest.mark.parametrize(
        "body",
        [
            {"customer_id": 1, "is_admin": True},
            {"customer_id": 1, "features": {"last_payment__last_amount": 1e9}},
            {"service": "fraud", "event": {**EVENT, "is_fraud": False}},
            {"service": "fraud", "event": {**EVENT, "customer_spend__count_7d": 0}},
        ],
    )
    def test_unknown_fields_are_refused(self, shop: Shop, body: dict[str, Any]) -> None:
        assert shop.ask("everything", "/features", **body).status_code == 422

    def test_what_there_is_to_ask_for_is_told_as_far_as_it_may_be_asked(self, shop: Shop) -> None:
        found = [
            set(shop.client.get("/api/v1/features", headers=key_of(who)).json()["services"])
            for who in ("everything", "lending_reader")
        ]

        assert found == [{"fraud", "lending"}, {"lending"}]

    def test_health_tells_strangers_one_word(self, shop: Shop) -> None:
        strange = shop.client.get("/health").json()
        known = shop.client.get("/health", headers=key_of("prometheus")).json()

        assert set(strange) == {"status"}
        assert {"environment", "namespace", "models", "views"} <= set(known)


class TestApi4ResourceConsumption:
    """A caller takes more than their share."""

    def test_a_large_body(self, shop: Shop) -> None:
        answer = shop.ask("everything", "/features", customer_id=1, junk="x" * 5_000)

        assert answer.status_code == 413

    def test_a_large_body_of_no_declared_length(self, shop: Shop) -> None:
        parts = iter([b'{"customer_id": 1, "junk": "', *[b"x" * 1_000] * 5, b'"}'])
        headers = {**key_of("everything"), "content-type": "application/json"}

        answer = shop.client.post("/features", content=parts, headers=headers)

        assert answer.status_code == 413

    def test_a_body_of_no_declared_length_that_is_small(self, shop: Shop) -> None:
        parts = iter([b'{"custo', b'mer_id": 1}'])
        headers = {**key_of("everything"), "content-type": "application/json"}

        answer = shop.client.post("/features", content=parts, headers=headers)

        assert answer.status_code == 200

    def test_a_deep_body(self, shop: Shop) -> None:
        headers = {**key_of("everything"), "content-type": "application/json"}

        answer = shop.client.post("/features", content=b"[" * 4_000, headers=headers)

        assert answer.status_code in (400, 422)

    def test_a_batch_of_too_many_rows(self, shop: Shop) -> None:
        limited = shop.changed(**{**BLOCK, "limits": {"rows": 2}})
        with serving(create_app(Backend(shop.graph, limited))) as client:
            statuses = [
                client.post(
                    "/features/lending",
                    json={"entities": [{"customer_id": 1}] * rows},
                    headers=key_of("everything"),
                ).status_code
                for rows in (2, 3)
            ]

        assert statuses == [200, 413]

    def test_too_many_requests(self, shop: Shop) -> None:
        limited = shop.changed(**{**BLOCK, "limits": {"rate": 0.01, "burst": 3}})
        with serving(create_app(Backend(shop.graph, limited))) as client:
            asked = [
                client.post("/features", json={"customer_id": 1}, headers=key_of(who))
                for who in ("reader", "reader", "reader", "reader", "everything")
            ]
            strangers = [client.get("/health").status_code for _ in range(4)]

        assert [one.status_code for one in asked] == [200, 200, 200, 429, 200]
        assert int(asked[3].headers["retry-after"]) <= 100
        assert strangers == [200, 200, 200, 429]

    def test_a_store_that_hangs_holds_nobody_up(self, shop: Shop) -> None:
        limited = shop.changed(**{**BLOCK, "limits": {"seconds": 0.3}})
        headers = {**key_of("everything"), "x-request-id": "hung-1"}
        process = shop.server.process
        assert process is not None
        with serving(create_app(Backend(shop.graph, limited))) as client:
            os.kill(process.pid, signal.SIGSTOP)
            try:
                answer = client.post("/features", json={"customer_id": 1}, headers=headers)
            finally:
                os.kill(process.pid, signal.SIGCONT)

        assert (answer.status_code, answer.json()["id"]) == (504, "hung-1")

    def test_a_body_that_does_not_come(self, shop: Shop) -> None:
        limited = shop.changed(**{**BLOCK, "limits": {"seconds": 0.3}})
        head = (
            f"POST /features HTTP/1.1\r\nhost: x\r\nx-api-key: {key_of('reader')['x-api-key']}\r\n"
            "content-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        )
        with serving(create_app(Backend(shop.graph, limited))) as client:
            place = ("127.0.0.1", client.base_url.port or 0)
            with socket.create_connection(place, timeout=10) as slow:
                slow.sendall(head.encode())
                said = slow.recv(100)

        assert said.startswith(b"HTTP/1.1 504")


class TestApi5FunctionLevelAuthorization:
    """A caller does what others may do."""

    @pytest.mark.parametrize(
        ("who", "method", "path"),
        [
            ("scorer", "POST", "/push/payments"),
            ("scorer", "POST", "/update-features/1"),
            ("scorer", "POST", "/features"),
            ("scorer", "GET", "/metrics"),
            ("reader", "POST", "/score"),
            ("pusher", "POST", "/score"),
            ("prometheus", "POST", "/features"),
        ],
    )
    def test_another_action_is_refused(self, shop: Shop, who: str, method: str, path: str) -> None:
        answer = shop.client.request(method, path, json={"customer_id": 1}, headers=key_of(who))

        assert answer.status_code == 403

    def test_another_service_is_refused(self, shop: Shop) -> None:
        answer = shop.ask("scorer", "/score", service="fraud", event=EVENT)

        assert answer.status_code == 403

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"])
    def test_another_method_is_refused(self, shop: Shop, method: str) -> None:
        answer = shop.client.request(method, "/score", headers=key_of("everything"))

        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    def test_a_header_does_not_choose_the_method_or_the_path(self, shop: Shop) -> None:
        headers = {
            **key_of("scorer"),
            "x-http-method-override": "GET",
            "x-original-url": "/metrics",
            "x-rewrite-url": "/metrics",
        }

        answer = shop.client.post("/score", json={"customer_id": 1}, headers=headers)

        assert answer.json()["credit_score"]


class TestApi6SensitiveBusinessFlows:
    """Scoring again and again to learn how the model decides: held by the rate of a caller (API4)
    and seen in the access log, which counts by caller. There is no flow of several steps here, such
    as buying, that a script could run through faster than people.
    """

    def test_who_asks_how_often_is_written(
        self, shop: Shop, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")

        for _ in range(3):
            shop.ask("scorer", "/score", customer_id=1)

        lines = [vars(one)["fields"] for one in caplog.records if one.name == "feldspar.access"]
        assert [(one["caller"], one["route"]) for one in lines] == [("scorer", "/score")] * 3


class TestApi7ServerSideRequestForgery:
    """No request names an address to go to: no field is a URL, and the keys of tokens come from the
    environment alone, whatever a token's header says (``jku``, ``x5u``).
    """

    def test_a_token_does_not_say_where_its_key_is(self, shop: Shop) -> None:
        with socket.create_server(("127.0.0.1", 0)) as trap:
            url = f"http://127.0.0.1:{trap.getsockname()[1]}/keys"
            headers = {"jku": url, "x5u": url, "kid": url}
            token = jwt.encode(claims(), rsa.generate_private_key(65_537, 2_048), "RS256", headers)
            answer = shop.ask_with(token)
            trap.settimeout(0)
            with pytest.raises(BlockingIOError):
                trap.accept()

        assert answer.status_code == 401


class TestApi8SecurityMisconfiguration:
    """What a careless setting, or a careless answer, gives away."""

    @pytest.mark.parametrize(
        ("method", "path", "who"),
        [
            ("POST", "/features", "everything"),
            ("POST", "/features", "nobody_known"),
            ("GET", "/health", "reader"),
            ("GET", "/no/such/route", "reader"),
            ("DELETE", "/score", "reader"),
        ],
    )
    def test_no_answer_is_kept_or_guessed_at(
        self, shop: Shop, method: str, path: str, who: str
    ) -> None:
        answer = shop.client.request(method, path, json={"customer_id": 1}, headers=key_of(who))

        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-request-id"]

    def test_other_origins_are_not_let_in(self, shop: Shop) -> None:
        headers = {**key_of("everything"), "origin": "https://evil.example.com"}

        answer = shop.client.post("/features", json={"customer_id": 1}, headers=headers)

        assert not [name for name in answer.headers if name.startswith("access-control")]

    def test_an_open_server_is_not_open_to_a_page_in_a_browser(self, shop: Shop) -> None:
        with serving(create_app(Backend(shop.graph, shop.changed(access="open")))) as client:
            answers = [
                client.post("/features", json={"customer_id": 1}, headers={"host": host})
                for host in ("localhost:8000", "evil.example.com")
            ]

        assert [one.status_code for one in answers] == [200, 403]

    def test_a_store_that_is_away_is_not_described_to_strangers(self, shop: Shop) -> None:
        away = environment_with(shop.environment.folder, "redis://:secret@127.0.0.1:1/0", "safety")
        spec = {"serving": shop.environment.serving}
        with serving(create_app(Backend(shop.graph, away.model_copy(update=spec)))) as client:
            strange = client.get("/health")
            asked = client.post("/features", json={"customer_id": 1}, headers=key_of("reader"))

        assert (strange.status_code, strange.json()) == (503, {"status": "unavailable"})
        assert (asked.status_code, "secret" in asked.text) == (503, False)


class TestApi9ImproperInventoryManagement:
    """What is served is what is written down: in the rules, and in OpenAPI. There is one version of
    each route, and none for tests."""

    def test_every_route_has_a_rule(self, shop: Shop) -> None:
        found = {template(*one) for one in shop.routes}

        assert found <= set(RULES), "say what they need in serving/access/rules.py"

    def test_every_answer_of_the_guard_is_documented(self, shop: Shop) -> None:
        paths = shop.client.get("/openapi.json", headers=key_of("reader")).json()["paths"]
        silent = {
            f"{method} {path}": codes
            for path, methods in paths.items()
            for method, said in methods.items()
            if (codes := {"401", "403", "413", "429", "500", "504"} - set(said["responses"]))
        }

        assert silent == {}


class TestApi10UnsafeConsumptionOfApis:
    """What others answer us: Redis and MLflow are the project's own. The one foreign service is the
    issuer of tokens; what it may answer is in ``test_access_tokens``.
    """

    def test_without_the_issuer_tokens_wait_and_keys_go_on(self, shop: Shop) -> None:
        remote = {**BLOCK["jwt"], "public_key": "", "jwks": "http://127.0.0.1:1/keys"}
        token = jwt.encode(claims(), PRIVATE, "RS256", headers={"kid": "one"})
        asked = {"authorization": f"Bearer {token}"}, key_of("reader")
        with serving(
            create_app(Backend(shop.graph, shop.changed(**{**BLOCK, "jwt": remote})))
        ) as to:
            waits, goes_on = (
                to.post("/features", json={"customer_id": 1}, headers=headers) for headers in asked
            )

        assert (waits.status_code, waits.headers["retry-after"]) == (503, "10")
        assert goes_on.status_code == 200


@dataclass(frozen=True)
class Told:
    """What the matrix knows of a route, written apart from the rules that it checks.

    Attributes:
        needs: an action; ``known``: any caller; ``nothing``.
        about: whether a request is about a service and its entities.
    """

    needs: str
    about: bool = False


# A route that stands not here fails the test: say who may ask it. By template, as in the rules.
ROUTES: Mapping[str, Told] = {
    "POST /score": Told("score", about=True),
    "POST /score/{service}": Told("score", about=True),
    "POST /features": Told("read", about=True),
    "POST /features/{service}": Told("read", about=True),
    "POST /push/{source}": Told("push"),
    "POST /update-features/{entity}": Told("push"),
    "GET /api/v1/features": Told("read"),
    "GET /metrics": Told("metrics"),
    "GET /health": Told("nothing"),
    "GET /ready": Told("nothing"),
    "GET /docs": Told("known"),
    "GET /docs/oauth2-redirect": Told("known"),
    "GET /redoc": Told("known"),
    "GET /openapi.json": Told("known"),
}
ACTIONS_OF: Mapping[str, frozenset[str]] = {
    "everything": frozenset({"read", "score", "push", "metrics"}),
    "reader": frozenset({"read"}),
    "lending_reader": frozenset({"read"}),
    "scorer": frozenset({"score"}),
    "first_customer": frozenset({"read", "score"}),
    "pusher": frozenset({"push"}),
    "prometheus": frozenset({"metrics"}),
}
SERVICES_OF = {"lending_reader": {"lending"}, "scorer": {"lending"}}
CUSTOMERS_OF = {"first_customer": {1}}
LET_IN = "let in"
REFUSED = (401, 403, 404, 405, 413, 429)
PARAMETER = re.compile(r"\{\w+\}")


def expected(told: Told, who: str, service: str, customer: int) -> int | str:
    """What a caller gets, by the tables of this test alone."""
    if who == "stranger" or (who == "nobody" and told.needs != "nothing"):
        return 401
    if told.needs in ("nothing", "known"):
        return LET_IN
    refused = told.needs not in ACTIONS_OF[who] or (
        told.about
        and (
            service not in SERVICES_OF.get(who, {service})
            or customer not in CUSTOMERS_OF.get(who, {customer})
        )
    )
    return 403 if refused else LET_IN


def bodies(path: str, customer: int) -> Iterator[tuple[str, Any]]:
    """Requests about a customer, alone and as one of several, with their service."""
    event, named = {**EVENT, "customer_id": customer}, path.count("/") == 2
    yield "lending", {"customer_id": customer}
    yield "fraud", {"event": event} if named else {"service": "fraud", "event": event}
    if named:
        yield "lending", {"entities": [{"customer_id": 1}, {"customer_id": customer}]}
        yield "fraud", {"events": [EVENT, event]}


class TestEveryRouteCallerAndEntity:
    """The authorisation matrix, made from the routes that the app has."""

    def test_the_matrix_knows_every_route(self, shop: Shop) -> None:
        assert {template(*one) for one in shop.routes} <= set(ROUTES), "say who may ask it"

    def test_everybody_gets_what_is_theirs_and_nothing_else(self, shop: Shop) -> None:
        wrong, count = {}, 0
        for (method, path), who, customer in product(
            shop.routes, ("nobody", "stranger", *ACTIONS_OF), (1, 2)
        ):
            told = ROUTES[template(method, path)]
            headers = {} if who == "nobody" else key_of(who)
            for service, body in bodies(path, customer) if told.about else [("", None)]:
                if told.about and path.count("/") == 2 and not path.endswith(service):
                    continue
                filled = PARAMETER.sub(str(customer), path)
                answer = shop.client.request(method, filled, headers=headers, json=body)
                let_in = answer.status_code not in REFUSED and answer.status_code != 500
                found = LET_IN if let_in else answer.status_code
                count += 1
                if found != expected(told, who, service, customer):
                    wrong[method, path, who, str(body)] = answer.status_code

        assert wrong == {}
        assert count > 200


def template(method: str, path: str) -> str:
    """The rule's name for a route of the app, which may name a service itself."""
    rule = Routes().find(method, path)
    return f"{method} {rule.route}"


ENVIRONMENT = """\
namespace: safety
clock: data
storage: {root: lake}
redis: {url: "${SHOP_REDIS}"}
mlflow: {tracking_uri: "${SHOP_MLFLOW}"}
serving:
  keys:
    portal: {secret: "${PORTAL_KEY}", actions: [read, metrics]}
  jwt:
    issuer: https://id.example.com
    audience: feldspar
    algorithms: HS256
    secret: ${TOKEN_SECRET}
    scopes: {own: {actions: read, entities: {customer_id: "@sub"}}}
  limits: {body_bytes: 4096}
  log: {masked: [customer_id], audit: audit.jsonl}
"""
PORTAL_KEY, TOKEN_SECRET = "portal-key-that-nobody-may-read", "token-secret-that-nobody-may-read"
CUSTOMER, AMOUNT = 471_100_815, 98_765.4321


def test_no_log_has_a_key_a_token_or_a_customer_s_values(shop: Shop, tmp_path: Path) -> None:
    graph, place = small_graph(tmp_path), tmp_path / "conf" / "environments"
    place.mkdir(parents=True)
    (place / "shop.yaml").write_text(ENVIRONMENT, encoding="utf-8")
    token = jwt.encode(claims(sub=str(CUSTOMER)), TOKEN_SECRET, "HS256")
    log = tmp_path / "serving.log"
    with valkey(tmp_path / "valkey") as server:
        with OnlineStore.of(environment_with(tmp_path, server.url, "safety")) as store:
            put_features(graph, store, {CUSTOMER: [Payment(1, AMOUNT, 0.5)]})
        variables = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "FELDSPAR_CONF": str(tmp_path / "conf"),
            "FELDSPAR_ENV": "shop",
            "SHOP_REDIS": server.url,
            "SHOP_MLFLOW": shop.environment.mlflow.tracking_uri,
            "PORTAL_KEY": PORTAL_KEY,
            "TOKEN_SECRET": TOKEN_SECRET,
        }
        with serving_process(Path(sys.executable), variables, log=log) as client:
            statuses = [one.status_code for one in everything_asked(client, token)]
            server.stop()
            known = {"x-api-key": PORTAL_KEY}
            asked = client.post("/features", json={"customer_id": CUSTOMER}, headers=known)
            statuses.append(asked.status_code)

    text = log.read_text(encoding="utf-8") + (tmp_path / "audit.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    leaks = (PORTAL_KEY, TOKEN_SECRET, token, token.split(".")[1], str(CUSTOMER), "98765")
    assert [one for one in leaks if one in text] == []
    assert statuses == [200, 200, 403, 401, 401, 401, 422, 422, 413, 404, 403, 403, 503]
    assert {"feldspar.access", "feldspar.audit"} <= {line["logger"] for line in lines}
    assert [line for line in lines if line["logger"] == "feldspar.access" and not line["id"]] == []


def everything_asked(client: httpx.Client, token: str) -> list[httpx.Response]:
    """Requests of every kind, with everything in them that a log must not have."""
    key, bearer = {"x-api-key": PORTAL_KEY}, {"authorization": f"Bearer {token}"}
    own, other = {"customer_id": CUSTOMER}, {"customer_id": 2}
    junk = {**own, "junk": PORTAL_KEY * 200}
    asked: list[tuple[str, Any, dict[str, str]]] = [
        ("/features", own, key),
        ("/features", own, bearer),
        ("/features", other, bearer),
        ("/features", own, {"x-api-key": PORTAL_KEY[:-1]}),
        ("/features", own, {"authorization": f"Bearer {token[:-3]}"}),
        ("/features", own, {"authorization": f"Basic {PORTAL_KEY}"}),
        ("/features", {**own, "amount": AMOUNT}, key),
        ("/features", {"customer_id": str(CUSTOMER)}, key),
        ("/features", junk, key),
        (f"/customers/{CUSTOMER}?key={PORTAL_KEY}", own, key),
        (f"/update-features/{CUSTOMER}?key={PORTAL_KEY}", own, key),
        (f"/push/payments?token={token}", own, {**key, "x-request-id": f"{PORTAL_KEY} x"}),
    ]
    return [client.post(path, json=body, headers=headers) for path, body, headers in asked]


@pytest.mark.parametrize("module", ["feldspar.cli.main serve", "feldspar.serving"])
def test_a_server_that_lets_strangers_in_is_not_started(tmp_path: Path, module: str) -> None:
    place = tmp_path / "conf" / "environments"
    small_graph(tmp_path)
    place.mkdir(parents=True)
    (place / "shop.yaml").write_text(ENVIRONMENT.partition("serving:")[0], encoding="utf-8")
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "FELDSPAR_CONF": str(tmp_path / "conf"),
        "FELDSPAR_ENV": "shop",
        "SHOP_REDIS": "redis://127.0.0.1:1/0",
        "SHOP_MLFLOW": f"sqlite:///{tmp_path / 'mlflow.db'}",
    }
    command = [sys.executable, "-m", *module.split(), "--host", "0.0.0.0"]

    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=variables, cwd=tmp_path
    )

    assert done.returncode == 2
    assert "environment shop asks nobody who they are, and 0.0.0.0 is reached" in done.stderr
    assert "serving.keys or serving.jwt" in done.stderr
