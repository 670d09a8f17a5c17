"""The HTTP side of pushed rows: ``POST /push/{source}`` and ``POST /update-features/{key}``.

422: a row does not pass, with the reasons that quarantine gives. 503: storage or Redis is away; the
body says what is kept and what is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from feldspar.compute.checks.texts import text_of
from feldspar.compute.json_texts import split
from feldspar.errors import FeldsparError, StoreError, UsageError
from feldspar.serving.access.callers import Caller, RefusedError
from feldspar.serving.access.guard import REFUSALS as GUARDS
from feldspar.serving.access.sizes import check_rows
from feldspar.serving.keeping import Outcome
from feldspar.serving.push_schema import Schema, column_schema, rows_schema, update_schema
from feldspar.serving.pushing import (
    MOST_ROWS,
    Allow,
    Pushing,
    RejectedError,
    UnknownSourceError,
)
from feldspar.spec.serving import LimitsSpec
from feldspar.spec.types import ColumnType

_STATUS: tuple[tuple[type[FeldsparError], int], ...] = (
    (UnknownSourceError, 404),
    (StoreError, 503),
    (FeldsparError, 422),
)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    **GUARDS,
    404: {"description": "No source of this name takes rows"},
    422: {"description": "Nothing was taken: the body says what does not pass, and why"},
    503: {"description": "Storage or Redis is away: 'durable' says whether the rows are kept"},
}
Take = Callable[[str], Future[Outcome]]


def add_push_routes(app: FastAPI, pushing: Pushing, limits: LimitsSpec) -> None:
    """Adds the routes, where there is a source that takes rows."""
    if not pushing.tables:
        return
    tables = [one.table for one in pushing.tables.values()]
    sources: Schema = {"type": "string", "enum": list(pushing.tables)}
    rows = _asked("source", sources, rows_schema(tables, most=MOST_ROWS))

    @app.post("/push/{source}", responses=_ANSWERS, openapi_extra=rows)
    async def push(request: Request) -> JSONResponse:
        """Takes a row or a list of rows, whole or not at all; they are kept before the answer."""
        source, body = request.path_params["source"], await request.body()
        caller: Caller = request.state.caller
        caller.check("push", source, {})
        outcome = await _taken(
            pushing, body, lambda text: pushing.push(source, text, _allow(caller, limits))
        )
        return outcome if isinstance(outcome, JSONResponse) else JSONResponse(_pushed(outcome))

    try:
        table, name = pushing.updated()
    except UnknownSourceError:
        return
    kind = column_schema(table.table, name)
    columns = _asked(name, kind, update_schema(table.table, key=name))

    @app.post(f"/update-features/{{{name}}}", responses=_ANSWERS, openapi_extra=columns)
    async def update(request: Request) -> JSONResponse:
        """Takes new values of some columns of an entity; the others keep their last values."""
        key, body = request.path_params[name], await request.body()
        allow = _allow(request.state.caller, limits)
        outcome = await _taken(pushing, body, lambda text: pushing.update(key, text, allow))
        if isinstance(outcome, JSONResponse):
            return outcome
        given = sorted(split(body.decode()) or ())
        known = _times(outcome)[0]
        whose = {name: pushing.key_value(key)}
        return JSONResponse(
            {
                "status": "success",
                **whose,
                "features_updated": given,
                "known_time": known,
                "views": dict(outcome.views),
            }
        )


def _allow(caller: Caller, limits: LimitsSpec) -> Allow:
    def allow(source: str, rows: Sequence[Mapping[str, Any]]) -> None:
        check_rows(limits, len(rows))
        caller.check_rows("push", source, rows)

    return allow


async def _taken(pushing: Pushing, body: bytes, take: Take) -> Outcome | JSONResponse:
    """The outcome of a request, or the answer that refuses it."""
    try:
        text = _text(body)
        asked = await run_in_threadpool(take, text) if pushing.blocks else take(text)
        outcome = await asyncio.wrap_future(asked)
    except RefusedError:
        raise
    except FeldsparError as error:
        return _refusal(error)
    if outcome.refused is not None:
        reasons = outcome.refused.reasons
        detail = f"this update does not pass: {', '.join(reasons)}"
        return JSONResponse({"detail": detail, "accepted": 0, "reasons": list(reasons)}, 422)
    return outcome if outcome.problem is None else _away(outcome, outcome.problem)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"the body is no UTF-8 text: {error.reason}") from error


def _pushed(outcome: Outcome) -> dict[str, Any]:
    times = _times(outcome)
    return {
        "accepted": len(times),
        "rejected": [],
        "known_time": times,
        "views": dict(outcome.views),
    }


def _refusal(error: FeldsparError) -> JSONResponse:
    status = next(code for kind, code in _STATUS if isinstance(error, kind))
    content: dict[str, Any] = {"detail": error.message}
    if error.hint:
        content["hint"] = error.hint
    if isinstance(error, RejectedError):
        rejected = [{"index": one.index, "reasons": list(one.reasons)} for one in error.rejected]
        content |= {"accepted": 0, "rejected": rejected}
    if status == _STATUS[1][1]:
        content |= {"accepted": 0, "durable": False, "online": False}
    return JSONResponse(content, status)


def _away(outcome: Outcome, problem: StoreError) -> JSONResponse:
    """What is kept and what is not, where a server is away."""
    if outcome.kept:
        detail = f"kept, but not served yet: {problem.message}"
        hint = "do not send it again: it is served after the next feldspar apply or stream round"
    else:
        detail, hint = f"not kept: {problem.message}", "send it again: the same row stays one"
    times = _times(outcome) if outcome.kept else []
    content = {
        "detail": detail,
        "hint": hint,
        "accepted": len(times),
        "durable": outcome.kept,
        "online": False,
        "known_time": times,
    }
    return JSONResponse(content, 503)


def _times(outcome: Outcome) -> list[str | None]:
    return [text_of(one, ColumnType.TIMESTAMP) for one in outcome.known]


def _asked(name: str, kind: Schema, body: Schema) -> Schema:
    """What OpenAPI says of a request: its path's parameter and its body."""
    return {
        "parameters": [{"name": name, "in": "path", "required": True, "schema": kind}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
    }
