"""What each feature of a service is made of: a fingerprint of its definition, the tables it reads.

Two training sets with the same makings of a feature differ in it by their rows alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, assert_never

from feldspar.graph.canonical import canonical
from feldspar.graph.view import Computation, Derived, OnDemand, PlainView, Service, WindowedView
from feldspar.names import REQUEST, fingerprint
from feldspar.spec.syntax import Expression


@dataclass(frozen=True)
class Made:
    """What one feature is made of.

    Attributes:
        definition: fingerprint of all that decides its value, down to the source file of an
            on-demand function (not of what that file imports).
        tables: ``layer.name`` of what it reads.
    """

    definition: str
    tables: tuple[str, ...]


def makings(service: Service, columns: Iterable[str]) -> dict[str, Made]:
    """What the named outputs of a service are made of."""
    wanted = set(columns)
    return {
        one.name: _made(service, one.reference) for one in service.outputs if one.name in wanted
    }


def _made(service: Service, reference: str) -> Made:
    owner, _, feature = reference.partition(".")
    if owner == REQUEST:
        tables = () if service.event is None else (f"silver.{service.event}",)
        return Made(fingerprint(reference), tables)
    for computation in service.computations:
        match computation:
            case Derived() if computation.reference == reference:
                return _computed(service, computation, said=str(computation.expression))
            case OnDemand() if computation.view == owner:
                return _computed(service, computation, said=_hook(computation, feature))
            case Derived() | OnDemand():
                continue
            case _:
                assert_never(computation)
    (view,) = (one for one in service.views if one.name == owner)
    return Made(fingerprint(_stored(view, feature)), (f"gold.{view.name}",))


def _computed(service: Service, computation: Computation, *, said: str) -> Made:
    inputs = [_made(service, one) for one in sorted(computation.inputs)]
    text = canonical([said, computation.inputs if isinstance(computation, OnDemand) else [],
                      [one.definition for one in inputs]])  # fmt: skip
    return Made(fingerprint(text), tuple(sorted({name for one in inputs for name in one.tables})))


def _hook(computation: OnDemand, feature: str) -> str:
    found = importlib.util.find_spec(computation.hook.partition(":")[0])
    origin = Path(found.origin) if found is not None and found.origin else None
    source = hashlib.sha256(origin.read_bytes()).hexdigest() if origin is not None else ""
    return canonical([computation.hook, source, feature, dict(computation.outputs)[feature]])


def _stored(view: PlainView | WindowedView, feature: str) -> str:
    """A view as if it had this feature alone."""
    match view:
        case PlainView():
            mine: tuple[Any, ...] = tuple(one for one in view.features if one.name == feature)
            # a plain feature is the gold column of its name
            columns = tuple(one for one in view.columns if one.name == feature)
            alone: PlainView | WindowedView = replace(view, features=mine, columns=columns)
        case WindowedView():
            mine = tuple(one for one in view.aggregates if one.name == feature)
            said = canonical(_plain(mine))
            columns = tuple(one for one in view.columns if f'"{one.name}"' in said)
            alone = replace(view, aggregates=mine, columns=columns)
        case _:
            assert_never(view)
    return canonical(_plain(replace(alone, derived=(), definition="")))


def _plain(value: Any) -> Any:
    """Dataclasses as mappings; expressions as their canonical text, however they were spaced."""
    match value:
        case Expression():
            return str(value)
        case list() | tuple():
            return [_plain(one) for one in value]
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
        case _ if is_dataclass(value):
            return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return value
