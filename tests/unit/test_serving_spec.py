"""The ``serving`` block: what may be said, what is refused, and what is said about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from feldspar.errors import DefinitionError, UsageError
from feldspar.spec.environment import Environment, load_environment
from feldspar.spec.serving import ServingSpec, faults, refuse_unsafe, unknown_names
from support.places import new_project

HEAD = """namespace: dev
storage: {root: lake}
redis: {url: 'redis://127.0.0.1:6379/0'}
mlflow: {tracking_uri: 'sqlite:///x.db'}
serving:
"""
KEY = "0123456789abcdefghijklmnopqrstuv"
SECRET = "s" * 32
TOKENS = {
    "issuer": "https://id.example.com",
    "audience": "feldspar",
    "algorithms": "HS256",
    "secret": SECRET,
    "scopes": {"scoring": {"actions": "score"}},
}


def load(folder: Path, block: str, variables: dict[str, str] | None = None) -> Environment:
    file = folder / "conf" / "environments" / "mine.yaml"
    file.parent.mkdir(parents=True)
    lines = "".join(f"  {line}\n" for line in block.splitlines())
    file.write_text(HEAD + lines, encoding="utf-8")
    return load_environment(folder / "conf", "mine", variables or {})


def spec(**block: Any) -> ServingSpec:
    return ServingSpec.model_validate(block)


def test_a_key_comes_from_a_variable(tmp_path: Path) -> None:
    block = "keys: {portal: {secret: '${PORTAL_KEY}', actions: [read, score]}}"

    loaded = load(tmp_path, block, {"PORTAL_KEY": KEY}).serving

    assert (loaded.restricted, loaded.keys["portal"].secret) == (True, KEY)


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_templates_are_restricted_and_load_without_keys(tmp_path: Path, name: str) -> None:
    upper = name.upper()
    variables = {f"FELDSPAR_{upper}_{what}": "x" for what in ("BUCKET", "REDIS_URL", "MLFLOW_URI")}

    loaded = load_environment(new_project(tmp_path), name, {**variables, "AWS_REGION": "x"})

    assert loaded.serving.restricted
    assert next(faults(loaded.serving, tmp_path))[0].endswith("has no value")


@pytest.mark.parametrize(
    "block",
    [
        "keys: {portal: {secret: hunter2hunter2hunter2hunter2, actions: read}}",
        "keys: {portal: {secret: '${X:-hunter2hunter2hunter2}', actions: read}}",
        "keys: {portal: {sha256: hunter2, actions: read}}",
        "jwt: {issuer: i, audience: a, algorithms: HS256, secret: hunter2, scopes: {}}",
    ],
)
def test_a_secret_is_not_written_and_not_repeated(tmp_path: Path, block: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        load(tmp_path, block)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("acess: open", r"mine\.yaml:6  serving\.acess: 'acess' is not a key here\n  nearest: acc"),
        ("keys: {a: {secret: '${SHORT}', actions: read}}", r"the key is too short to be safe"),
        ("keys: {a: {secret: '${KEY}'}}", r"serving\.keys\.a\.actions is missing"),
        ("keys: {a: {secret: '${KEY}', actions: reed}}", r"found 'reed'; .*'read'"),
        ("keys: {A: {secret: '${KEY}', actions: read}}", r"mine\.yaml:6  serving\.keys\.A"),
        ("keys: {a: {secret: '${KEY}', actions: '*', services: 'a*b'}}", r"'a\*b' is no pattern"),
        (
            "keys: {a: {secret: '${KEY}', actions: '*', entities: {customer_id: '@sub'}}}",
            r"entities: a key has no claims",
        ),
        ("access: open\nkeys: {a: {secret: '${KEY}', actions: read}}", r"open asks nobody"),
        ("limits: {rate: 0}", r"limits\.rate"),
        ("limits: {body_bytes: 1}", r"limits\.body_bytes: found 1"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, block: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        load(tmp_path, block, {"KEY": KEY, "SHORT": "short"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"algorithms": "none"}, "Input should be"),
        ({"algorithms": []}, "at least 1 item"),
        ({"algorithms": ["HS256", "RS256"]}, "name one kind"),
        ({"algorithms": "RS256"}, "secret does not go with RS256"),
        ({"secret": "", "jwks": "https://id/keys"}, "jwks does not go with HS256"),
        ({"public_key": "key.pem"}, "tokens are checked by one of them"),
        ({"secret": "short"}, "less than 32 bytes"),
        ({"secret": "", "jwks": "http://id.example.com/keys"}, "fetched by https"),
        ({"scopes": {}}, "at least 1 item"),
    ],
)
def test_tokens_are_checked_in_one_way(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        spec(jwt={**TOKENS, **change})


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.5"])
@pytest.mark.parametrize("block", [{}, {"access": "open"}])
def test_open_listens_on_loopback(host: str, block: dict[str, Any]) -> None:
    refuse_unsafe(spec(**block), folder=Path(), environment="mine", host=host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "feldspar.example.com", ""])
@pytest.mark.parametrize("block", [{}, {"access": "open"}])
def test_open_listens_nowhere_else(host: str, block: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"asks nobody who they are.*\n.*serving\.keys"):
        refuse_unsafe(spec(**block), folder=Path(), environment="mine", host=host)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"access": "restricted"}, "no caller is named"),
        ({"keys": {"portal": {"actions": "read"}}}, r"serving\.keys\.portal has no value"),
        ({"jwt": {**TOKENS, "secret": ""}}, "nothing to check tokens with"),
        (
            {"jwt": {**TOKENS, "secret": "", "algorithms": "RS256", "public_key": "no.pem"}},
            r"no\.pem is not there",
        ),
    ],
)
def test_restricted_needs_somebody_to_let_in(block: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        refuse_unsafe(spec(**block), folder=Path(), environment="mine", host="127.0.0.1")


def test_a_restricted_server_may_listen_anywhere() -> None:
    keys = {"portal": {"secret": KEY, "actions": "read"}}

    refuse_unsafe(spec(keys=keys), folder=Path(), environment="mine", host="0.0.0.0")


def test_names_that_the_project_does_not_have_are_told_with_the_nearest() -> None:
    grant = {
        "actions": "*",
        "services": ["lendin", "fraud*", "lending"],
        "sources": "payment",
        "entities": {"custmer_id": 1, "customer_id": 2},
    }
    block = spec(keys={"portal": {"secret": KEY, **grant}})

    found = dict(
        unknown_names(block, services=["lending"], sources=["payments"], columns=["customer_id"])
    )

    assert found == {
        "serving.keys.portal.services: the project has no 'lendin'": "it has: lending",
        "serving.keys.portal.sources: the project has no 'payment'": "it has: payments",
        "serving.keys.portal.entities: the project has no 'custmer_id'": "it has: customer_id",
    }


def test_a_secret_is_not_shown_with_its_block() -> None:
    block = spec(keys={"portal": {"secret": KEY, "actions": "read"}}, jwt=TOKENS)

    assert KEY not in repr(block)
    assert SECRET not in repr(block)
