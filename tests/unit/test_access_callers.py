"""Grants: what a caller may do, and what one who may not is told."""

from __future__ import annotations

from typing import Any

import pytest

from feldspar.serving.access.callers import LOCAL, NOBODY, Caller, ForbiddenError, Grant
from feldspar.spec.serving import GrantSpec


def caller(claims: dict[str, Any] | None = None, **grant: Any) -> Caller:
    return Caller("portal", (Grant.of(GrantSpec.model_validate(grant), claims),))


@pytest.mark.parametrize(
    ("action", "name", "keys"),
    [
        ("score", "lending", {"customer_id": 1}),
        ("read", "lending", {"customer_id": 2}),
        ("score", "lending_eu", {"customer_id": 900}),
        ("push", "devices", {"customer_id": 1}),
        ("read", "lending", {}),
    ],
)
def test_what_a_grant_covers_is_allowed(action: str, name: str, keys: dict[str, Any]) -> None:
    grant = {
        "services": "lending*",
        "sources": "devices",
        "entities": {"customer_id": [1, 2, "9*"]},
    }

    caller(actions=["read", "score", "push"], **grant).check(action, name, keys)


@pytest.mark.parametrize(
    ("action", "name", "keys"),
    [
        ("push", "devices", {"customer_id": 1}),
        ("metrics", "lending", {}),
        ("score", "fraud", {"customer_id": 1}),
        ("score", "lending", {"customer_id": 3}),
        ("score", "lending", {"customer_id": 11}),
        ("score", "lending", {"customer_id": None}),
        ("score", "lending", {"customer_id": 1, "terminal_id": 5}),
        ("score", "lending", {"terminal_id": 1}),
        ("", "lending", {"customer_id": 1}),
    ],
)
def test_anything_else_is_forbidden(action: str, name: str, keys: dict[str, Any]) -> None:
    asking = caller(actions=["read", "score"], services="lending", entities={"customer_id": [1, 2]})

    with pytest.raises(ForbiddenError):
        asking.check(action, name, keys)


def test_grants_add_up_and_do_not_mix() -> None:
    both = Caller(
        "portal",
        (
            Grant.of(GrantSpec.model_validate({"actions": "read", "services": "a"})),
            Grant.of(GrantSpec.model_validate({"actions": "score", "services": "b"})),
        ),
    )
    both.check("read", "a", {})
    both.check("score", "b", {})

    with pytest.raises(ForbiddenError):
        both.check("read", "b", {})


def test_a_batch_with_one_foreign_row_is_forbidden() -> None:
    asking = caller(actions="score", entities={"customer_id": 1})
    rows = [{"customer_id": 1}, {"customer_id": 2}]

    with pytest.raises(ForbiddenError, match="customer_id 2"):
        asking.check_rows("score", "lending", rows)


def test_a_refusal_says_what_is_allowed() -> None:
    asking = caller(actions="score", services="lending", entities={"customer_id": list("1234567")})

    with pytest.raises(ForbiddenError) as caught:
        asking.check("score", "fraud", {"customer_id": 1})

    assert str(caught.value) == (
        "caller portal may not score fraud, customer_id 1\n"
        "  it may: score of services lending, customer_id 1, 2, 3, 4, 5 and 2 more; "
        "grants stand in conf/environments, serving"
    )


@pytest.mark.parametrize(
    ("claims", "allowed"),
    [
        ({"sub": "7"}, ["7"]),
        ({"sub": 7}, ["7"]),
        ({"sub": ["7", 8]}, ["7", "8"]),
        ({"sub": "*"}, []),
        ({"sub": "7*"}, []),
        ({"sub": True}, []),
        ({"sub": {"7": 1}}, []),
        ({}, []),
    ],
)
def test_a_claim_names_entities_and_is_no_pattern(
    claims: dict[str, Any], allowed: list[str]
) -> None:
    asking = caller(claims, actions="read", entities={"customer_id": "@sub"})

    grant = asking.grants[0]
    found = [
        one for one in ("7", "8", "77", "9") if grant.allows("read", "any", {"customer_id": one})
    ]
    assert found == allowed


def test_on_this_machine_everything_is_allowed_and_nobody_may_do_nothing() -> None:
    LOCAL.check("push", "any", {"any": 1})

    assert not any(NOBODY.may(action) for action in ("read", "score", "push", "metrics"))
