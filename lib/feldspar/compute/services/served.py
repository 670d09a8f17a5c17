"""The columns of a service's logged answers: the same for who writes them and who audits them.

Columns of the request and outputs stand under their own names and in their declared types; what
the platform says of an answer begins with an underscore.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from feldspar.compute.expressions.arrow import arrow_type
from feldspar.graph.view import Service
from feldspar.names import SERVED_AT, fingerprint

REQUEST_ID = "_request_id"
AT = "_at"
"""T: the answer holds at this time."""
MODEL, MODEL_VERSION = "_model", "_model_version"
PROBABILITY = "_probability"
"""Of the model's label; null where features alone were asked for."""
ANSWER = "_answer"
"""All that the model's kind answers, as JSON text."""
DEGRADED = "_degraded"
"""Redis was away: answered as for an entity of which nothing is known."""
STALE = "_stale"
"""Outputs of views whose stored row had outlived its ttl."""
DEFINITION = "_definition"
"""Fingerprint of the service's definition in the process that answered."""
_INSTANT = pa.timestamp("us", "UTC")
_SYSTEM: Mapping[str, pa.DataType] = {
    REQUEST_ID: pa.string(),
    SERVED_AT: _INSTANT,
    AT: _INSTANT,
    MODEL: pa.string(),
    MODEL_VERSION: pa.string(),
    PROBABILITY: pa.float64(),
    ANSWER: pa.string(),
    DEGRADED: pa.bool_(),
    STALE: pa.list_(pa.string()),
    DEFINITION: pa.string(),
}


def version_column(view: str) -> str:
    """The gold version that the view's cursor named when its value was read."""
    return f"_version_{view}"


def stamp_column(view: str) -> str:
    """The gold version that the value itself names: a push writes values before its cursor."""
    return f"_stamp_{view}"


def newest_column(view: str) -> str:
    """The event time of the newest thing that counted."""
    return f"_newest_{view}"


def served_schema(service: Service) -> pa.Schema:
    """Names and types of all columns, in order."""
    columns: dict[str, pa.DataType] = dict(_SYSTEM)
    columns |= {name: arrow_type(kind) for name, kind in service.request}
    columns |= {one.name: arrow_type(one.type) for one in service.outputs}
    for view in service.views:
        columns |= {version_column(view.name): pa.int64(), stamp_column(view.name): pa.int64()}
        columns[newest_column(view.name)] = _INSTANT
    return pa.schema(columns)


def served_definition(service: Service) -> str:
    """What the log calls a service's definition."""
    return fingerprint(service.definition)
