"""JSON Schemas of everything that conf/ may hold, for editors; made from the specs themselves.

The specs decide what is valid; a schema only says it earlier, while somebody types.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from feldspar.spec.case import CaseFile
from feldspar.spec.environment import FILLED_IN, Environment
from feldspar.spec.loading import ADAPTERS
from feldspar.spec.project import ProjectSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MODELINE = "# yaml-language-server: $schema={path}"
SINGULAR = {
    "sources": "source",
    "tables": "table",
    "entities": "entity",
    "views": "view",
    "services": "service",
    "models": "model",
    "environments": "environment",
}
_VARIABLE = {"type": "string", "pattern": r"\$\{"}


def schemas() -> dict[str, dict[str, Any]]:
    """File name without ``.json`` to schema: source, table, ..., project, environment, test."""
    found = {SINGULAR[kind]: _schema(adapter) for kind, adapter in ADAPTERS.items()}
    found["project"] = _schema(TypeAdapter(ProjectSpec))
    found["environment"] = _without(_schema(TypeAdapter(Environment)), FILLED_IN)
    found["test"] = _schema(TypeAdapter(CaseFile))
    return {name: {"$schema": DIALECT, "title": name, **schema} for name, schema in found.items()}


def modeline(folder: str, *, test: bool = False) -> str:
    """The first line of a definition in a folder of conf/ ("" for conf itself).

    >>> modeline("views")
    '# yaml-language-server: $schema=../schema/view.json'
    """
    if not folder:
        return MODELINE.format(path="schema/project.json")
    return MODELINE.format(path=f"../schema/{'test' if test else SINGULAR[folder]}.json")


def _schema(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = _with_variables(adapter.json_schema(by_alias=True))
    schema.pop("title", None)
    return schema


def _with_variables(node: Any) -> Any:
    """The same schema, but ``${NAME}`` may stand where a number, pattern or choice is asked for."""
    if isinstance(node, list):
        return [_with_variables(part) for part in node]
    if not isinstance(node, dict):
        return node
    walked = {key: _with_variables(part) for key, part in node.items()}
    kind = walked.get("type")
    narrow = "pattern" in walked or "enum" in walked
    if kind in ("integer", "number", "boolean") or (kind == "string" and narrow):
        said = {
            key: walked.pop(key) for key in ("title", "description", "default") if key in walked
        }
        return {**said, "anyOf": [walked, _VARIABLE]}
    return walked


def _without(schema: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    properties = {key: part for key, part in schema["properties"].items() if key not in keys}
    required = [key for key in schema["required"] if key not in keys]
    return {**schema, "properties": properties, "required": required}
