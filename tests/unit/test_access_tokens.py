"""Tokens: which are taken, which are not, and keys that are fetched from their issuer."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from feldspar.errors import UsageError
from feldspar.serving.access.callers import Caller, UnauthenticatedError, UncheckedError
from feldspar.serving.access.tokens import Tokens
from feldspar.spec.serving import TokenSpec
from feldspar.times import utc_now

SECRET = "s" * 32
ISSUER, AUDIENCE = "https://id.example.com", "feldspar"
SCOPES = {
    "scoring": {"actions": "score"},
    "own": {"actions": "read", "entities": {"customer_id": "@sub"}},
}
PRIVATE = rsa.generate_private_key(65_537, 2_048)
PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def now() -> int:
    return int(utc_now().timestamp())


def public_jwk(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    return dict(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True))


def claims(**change: Any) -> dict[str, Any]:
    all_ = {"iss": ISSUER, "aud": AUDIENCE, "sub": "7", "scope": "scoring", "exp": now() + 600}
    return {name: value for name, value in {**all_, **change}.items() if value is not None}


def tokens(folder: Path, **change: Any) -> Tokens:
    said = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": "HS256", "scopes": SCOPES}
    key = {} if {"jwks", "public_key"} & set(change) else {"secret": SECRET}
    return Tokens(TokenSpec.model_validate({**said, **key, **change}), folder)


def caller(found: Tokens, token: str) -> Caller:
    return asyncio.run(found.caller(token))


def signed(
    payload: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256", **head: Any
) -> str:
    return jwt.encode(payload, key, algorithm, headers=head)


def by_hand(header: dict[str, Any], payload: dict[str, Any], signature: str = "") -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(one).encode()) for one in (header, payload))
    return ".".join([*(one.rstrip(b"=").decode() for one in parts), signature])


def test_a_good_token_names_its_caller_and_its_scopes(tmp_path: Path) -> None:
    found = caller(tokens(tmp_path), signed(claims(scope="openid own scoring")))

    assert [sorted(one.actions) for one in found.grants] == [["read"], ["score"]]
    found.check("read", "lending", {"customer_id": 7})


def test_a_customer_s_token_is_not_named_after_the_customer(tmp_path: Path) -> None:
    names = [
        caller(tokens(tmp_path), signed(claims(sub=sub, scope=scope))).name
        for sub, scope in (("batch", "scoring"), ("7", "own"), ("7", "scoring own"), ("8", "own"))
    ]

    assert names[0] == "sub:batch"
    assert names[1] == names[2] != names[3]
    assert "sub:7" not in names


@pytest.mark.parametrize(
    ("change", "grants"),
    [({"scope": ["own"]}, 1), ({"scope": None}, 0), ({"scope": 7}, 0), ({"scope": "admin"}, 0)],
)
def test_scopes_may_be_a_list_and_unknown_ones_allow_nothing(
    tmp_path: Path, change: dict[str, Any], grants: int
) -> None:
    assert len(caller(tokens(tmp_path), signed(claims(**change))).grants) == grants


@pytest.mark.parametrize(
    "change",
    [
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"aud": "other"},
        {"aud": None},
        {"iss": "https://id.example.com/"},
        {"iss": None},
        {"sub": None},
        {"sub": 7},
        {"nbf": 1 << 40},
    ],
)
def test_a_claim_that_is_wrong_makes_it_nobodys(tmp_path: Path, change: dict[str, Any]) -> None:
    # the library signs no claims of a wrong type itself
    token = jwt.PyJWS().encode(json.dumps(claims(**change)).encode(), SECRET, "HS256")

    with pytest.raises(UnauthenticatedError):
        caller(tokens(tmp_path), token)


def test_clocks_may_differ_by_the_leeway(tmp_path: Path) -> None:
    late = signed(claims(exp=now() - 20))

    assert caller(tokens(tmp_path, leeway_seconds=60), late).name == "sub:7"
    with pytest.raises(UnauthenticatedError):
        caller(tokens(tmp_path, leeway_seconds=0), late)


def test_no_signature_is_not_taken(tmp_path: Path) -> None:
    for algorithm in ("none", "None", "NONE", "", None):
        with pytest.raises(UnauthenticatedError):
            caller(tokens(tmp_path), by_hand({"alg": algorithm, "typ": "JWT"}, claims()))


def test_a_public_key_is_not_taken_for_a_secret(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(PEM)
    found = tokens(tmp_path, public_key="key.pem", algorithms="RS256")
    head = {"alg": "HS256", "typ": "JWT"}
    unsigned = by_hand(head, claims())[:-1]
    signature = jwt.get_algorithm_by_name("HS256").sign(unsigned.encode(), PEM)
    forged = f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"

    assert caller(found, signed(claims(), PRIVATE, "RS256")).name == "sub:7"
    with pytest.raises(UnauthenticatedError):
        caller(found, forged)


def test_another_ones_signature_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(PEM)
    found = tokens(tmp_path, public_key="key.pem", algorithms=["RS256", "ES256"])
    other = rsa.generate_private_key(65_537, 2_048)
    curve = ec.generate_private_key(ec.SECP256R1())

    for forged in (signed(claims(), other, "RS256"), signed(claims(), curve, "ES256")):
        with pytest.raises(UnauthenticatedError):
            caller(found, forged)


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(max_codepoint=255), max_size=60) | st.just("[" * 9_000))
def test_no_text_is_a_token_and_none_breaks_it(text: str) -> None:
    found = tokens(Path())
    head = base64.urlsafe_b64encode(text.encode("latin-1")).rstrip(b"=").decode()

    for made in (text, f"{text}.{text}.{text}", f"{head}.{head}.{head}"):
        with pytest.raises(UnauthenticatedError):
            caller(found, made)


def test_a_deep_header_does_not_break_it(tmp_path: Path) -> None:
    head = base64.urlsafe_b64encode(b"[" * 6_000).decode()

    with pytest.raises(UnauthenticatedError):
        caller(tokens(tmp_path), f"{head}.e30.e30")


@pytest.mark.parametrize("content", [None, b"no key", PEM[:80]], ids=["none", "text", "half"])
def test_a_key_that_is_none_is_said_at_start(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key.pem").write_bytes(content)

    with pytest.raises(UsageError, match=r"serving\.jwt\.public_key: key\.pem cannot be used"):
        tokens(tmp_path, public_key="key.pem", algorithms="RS256")


class Clock:
    def __init__(self) -> None:
        self.now = 1e6

    def __call__(self) -> float:
        return self.now


@dataclass
class Issuer:
    """A server of JSON Web Keys that counts how often it is asked."""

    keys: dict[str, Any] = field(default_factory=dict)
    asked: int = 0
    port: int = 0
    nonsense: bytes | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys"

    def content(self) -> bytes:
        self.asked += 1
        if self.nonsense is not None:
            return self.nonsense
        return json.dumps(
            {"keys": [{**key, "kid": name} for name, key in self.keys.items()]}
        ).encode()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    found = Issuer({"one": public_jwk(PRIVATE)})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            content = found.content()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def remote(folder: Path, issuer: Issuer, clock: Clock) -> Tokens:
    said = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": "RS256", "scopes": SCOPES}
    spec = TokenSpec.model_validate({**said, "jwks": issuer.url})
    return Tokens(spec, folder, clock=clock)


async def is_taken(found: Tokens, token: str) -> bool:
    try:
        await found.caller(token)
    except UnauthenticatedError:
        return False
    return True


def test_keys_of_the_issuer_are_fetched_once(tmp_path: Path, issuer: Issuer) -> None:
    found = tokens(tmp_path, jwks=issuer.url, algorithms="RS256")

    async def many() -> set[str]:
        made = [signed(claims(jti=str(n)), PRIVATE, "RS256", kid="one") for n in range(20)]
        return {one.name for one in await asyncio.gather(*(found.caller(one) for one in made))}

    assert (asyncio.run(many()), issuer.asked) == ({"sub:7"}, 1)


def test_made_up_ids_do_not_turn_us_against_the_issuer(tmp_path: Path, issuer: Issuer) -> None:
    found = tokens(tmp_path, jwks=issuer.url, algorithms="RS256")

    async def many() -> list[type[BaseException]]:
        made = [signed(claims(), PRIVATE, "RS256", kid=str(n)) for n in range(20)]
        asked = (found.caller(one) for one in made)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [type(one) for one in answers if isinstance(one, BaseException)]

    assert asyncio.run(many()) == [UnauthenticatedError] * 20
    assert issuer.asked == 1


def test_a_new_key_of_the_issuer_is_taken_within_seconds(tmp_path: Path, issuer: Issuer) -> None:
    clock = Clock()
    found = remote(tmp_path, issuer, clock)
    other = rsa.generate_private_key(65_537, 2_048)
    new = signed(claims(), other, "RS256", kid="two")

    async def asked() -> list[bool]:
        answers = [await is_taken(found, signed(claims(), PRIVATE, "RS256", kid="one"))]
        issuer.keys["two"] = public_jwk(other)
        for _ in range(2):
            answers.append(await is_taken(found, new))
            clock.now += 11
        return answers

    assert (asyncio.run(asked()), issuer.asked) == ([True, False, True], 2)


def test_keys_hold_while_the_issuer_is_away(tmp_path: Path, issuer: Issuer) -> None:
    clock = Clock()
    found = remote(tmp_path, issuer, clock)

    async def asked() -> list[bool]:
        answers = []
        for number in range(5):
            token = signed(claims(jti=str(number)), PRIVATE, "RS256", kid="one")
            answers.append(await is_taken(found, token))
            issuer.nonsense = b"away"
            clock.now += 3_600
        return answers

    assert asyncio.run(asked()) == [True] * 5


def test_a_good_token_is_checked_again_after_a_minute(tmp_path: Path, issuer: Issuer) -> None:
    clock = Clock()
    found = remote(tmp_path, issuer, clock)
    token = signed(claims(), PRIVATE, "RS256", kid="one")

    async def asked() -> list[bool]:
        answers = [await is_taken(found, token)]
        issuer.keys = {"two": issuer.keys["one"]}
        clock.now += 59
        answers.append(await is_taken(found, token))
        # an unknown key makes it fetch, and then the withdrawn one is gone
        clock.now += 2
        await is_taken(found, signed(claims(), PRIVATE, "RS256", kid="two"))
        answers.append(await is_taken(found, token))
        return answers

    assert asyncio.run(asked()) == [True, True, False]


def test_a_shared_key_of_the_issuer_is_not_taken(tmp_path: Path, issuer: Issuer) -> None:
    value = base64.urlsafe_b64encode(SECRET.encode()).rstrip(b"=").decode()
    issuer.keys["shared"] = {"kty": "oct", "k": value, "alg": "HS256"}
    found = tokens(tmp_path, jwks=issuer.url, algorithms="RS256")
    head = {"alg": "RS256", "kid": "shared"}
    unsigned = by_hand(head, claims())[:-1]
    signature = jwt.get_algorithm_by_name("HS256").sign(unsigned.encode(), SECRET.encode())
    forged = f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"

    with pytest.raises(UnauthenticatedError):
        caller(found, forged)


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"{}", b'{"keys": [{"kty": "x"}]}'])
def test_nonsense_of_the_issuer_is_no_fault_of_the_token(
    tmp_path: Path, issuer: Issuer, content: bytes
) -> None:
    issuer.nonsense = content
    found = tokens(tmp_path, jwks=issuer.url, algorithms="RS256")

    with pytest.raises(UncheckedError):
        caller(found, signed(claims(), PRIVATE, "RS256", kid="one"))


def test_an_issuer_that_is_away_is_no_fault_of_the_token(tmp_path: Path) -> None:
    found = tokens(tmp_path, jwks="http://127.0.0.1:1/keys", algorithms="RS256")

    with pytest.raises(UncheckedError):
        caller(found, signed(claims(), PRIVATE, "RS256", kid="one"))
