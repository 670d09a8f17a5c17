"""Reads a conf folder into frozen definitions, collecting every problem of shape.

What one file may say is checked here; how files fit together is checked by ``graph.compile``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from feldspar.errors import DefinitionError, Problem, UsageError, nearest
from feldspar.spec.entity import EntitySpec
from feldspar.spec.model import ModelSpec
from feldspar.spec.project import ProjectSpec
from feldspar.spec.reading import Document, read_document
from feldspar.spec.secrets import refuse_secrets
from feldspar.spec.service import ServiceSpec
from feldspar.spec.source import AnySource, SourceSpec
from feldspar.spec.table import TableSpec
from feldspar.spec.view import OnDemandViewSpec, PlainViewSpec, ViewSpec, WindowedViewSpec

ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "sources": TypeAdapter(SourceSpec),
    "tables": TypeAdapter(TableSpec),
    "entities": TypeAdapter(EntitySpec),
    "views": TypeAdapter(ViewSpec),
    "services": TypeAdapter(ServiceSpec),
    "models": TypeAdapter(ModelSpec),
}
FOLDERS = (*ADAPTERS, "environments", "schema")
WITH_SECRETS = ("kafka", "jdbc", "http")
"""Kinds of sources whose files may name a password or a token."""


@dataclass(frozen=True)
class Definitions:
    """Everything that conf/ says, by kind and name, with the documents it came from."""

    project: ProjectSpec
    sources: Mapping[str, AnySource]
    tables: Mapping[str, TableSpec]
    entities: Mapping[str, EntitySpec]
    views: Mapping[str, PlainViewSpec | WindowedViewSpec | OnDemandViewSpec]
    services: Mapping[str, ServiceSpec]
    models: Mapping[str, ModelSpec]
    documents: Mapping[tuple[str, str], Document]

    def problem(
        self,
        kind: str,
        name: str,
        path: tuple[str | int, ...],
        *,
        message: str,
        near: tuple[str, ...] = (),
        see: str = "",
    ) -> Problem:
        """A problem at a place in the file that defines ``kind``/``name``."""
        document = self.documents[kind, name]
        return Problem(document.file, document.line(path), message, near, see)


def load_definitions(conf: Path, variables: Mapping[str, str]) -> Definitions:
    """Reads conf/project.yaml and one object a file in each folder.

    Raises:
        DefinitionError: with every problem found in every file.
        UsageError: there is no such folder.
    """
    if not (conf / "project.yaml").is_file():
        raise UsageError(
            f"{conf} holds no project.yaml", hint="run inside a project, or say --conf FOLDER"
        )
    problems: list[Problem] = list(_strangers(conf))
    documents: dict[tuple[str, str], Document] = {}
    specs: dict[str, dict[str, Any]] = {kind: {} for kind in ADAPTERS}
    project = _project(conf, variables)
    for kind, path in _files(conf):
        try:
            document = read_document(path, root=conf.parent, variables=variables)
            documents[kind, path.stem] = document
            if document.tree.get("kind") in WITH_SECRETS:
                refuse_secrets(document)
            specs[kind][path.stem] = validated(ADAPTERS[kind], document)
        except DefinitionError as error:
            problems.extend(error.problems)
    if problems:
        raise DefinitionError(sorted(problems, key=lambda problem: (problem.file, problem.line)))
    return Definitions(project=project, documents=documents, **specs)


def _project(conf: Path, variables: Mapping[str, str]) -> ProjectSpec:
    document = read_document(conf / "project.yaml", root=conf.parent, variables=variables)
    spec: ProjectSpec = validated(TypeAdapter(ProjectSpec), document)
    return spec


def _files(conf: Path) -> Iterator[tuple[str, Path]]:
    for kind in ADAPTERS:
        for path in sorted((conf / kind).glob("*.yaml")):
            if not path.name.endswith(".test.yaml"):
                yield kind, path


def _strangers(conf: Path) -> Iterator[Problem]:
    for folder in sorted(path for path in conf.iterdir() if path.is_dir()):
        if folder.name not in FOLDERS:
            name = f"{conf.name}/{folder.name}"
            yield Problem(
                name, 1, "no kind of definition has this name", nearest(folder.name, FOLDERS)
            )


def validated(adapter: TypeAdapter[Any], document: Document) -> Any:
    """What a document says, as its kind's frozen value.

    Raises:
        DefinitionError: with every problem of shape in it.
    """
    try:
        return adapter.validate_python(document.values)
    except ValidationError as error:
        found = error.errors()
        raise DefinitionError(
            _problem(document, adapter, details)
            for details in found
            if not _is_misspelt(details, found)
        ) from error


def _is_misspelt(details: ErrorDetails, found: list[ErrorDetails]) -> bool:
    """Whether a missing key is there under a wrong name, which is a problem of its own."""
    if details["type"] != "missing":
        return False
    *inside, key = details["loc"]
    strangers = [
        str(other["loc"][-1])
        for other in found
        if other["type"] == "extra_forbidden" and list(other["loc"][:-1]) == inside
    ]
    return bool(nearest(str(key), strangers))


def _problem(document: Document, adapter: TypeAdapter[Any], details: ErrorDetails) -> Problem:
    path = _inside(document, details["loc"])
    line = document.line(path)
    match details["type"]:
        case "extra_forbidden":
            key = str(details["loc"][-1])
            known = _keys(adapter)
            return Problem(document.file, line, f"{key!r} is not a key here", nearest(key, known))
        case "missing":
            return Problem(document.file, line, f"{details['loc'][-1]!r} is missing")
        case "value_error":
            text, _, hint = str(details["ctx"]["error"]).partition("\n")
            return Problem(document.file, line, f"{_dotted(path)}: {text}", hint=hint)
        case "union_tag_invalid" | "union_tag_not_found":
            return _no_variant(document, details)
        case kind:
            found = "nothing" if details["input"] is None else repr(details["input"])
            wanted = _WANTED.get(kind, details["msg"].lower().replace("input should be", "it is"))
            text = f"{_dotted(path)}: found {found}; {wanted}"
            return Problem(document.file, line, text, _near_choice(details))


_WANTED = {
    "tuple_type": "it is a list, such as [a, b]",
    "dict_type": "it is a mapping of keys to values",
    "model_type": "it is a mapping of keys to values",
    "model_attributes_type": "it is a mapping of keys to values",
}


def _no_variant(document: Document, details: ErrorDetails) -> Problem:
    """A definition whose ``kind`` is none of those there are, or is not said."""
    choices = str(details["ctx"].get("expected_tags", "")).replace("'", "").split(", ")
    found = document.values.get("kind")
    if found is None:
        return Problem(document.file, 1, "'kind' is missing")
    line = document.line(("kind",))
    text = f"kind: there is no {found!r}; there are {', '.join(choices)}"
    return Problem(document.file, line, text, nearest(str(found), choices))


def _near_choice(details: ErrorDetails) -> tuple[str, ...]:
    expected = str(details.get("ctx", {}).get("expected", ""))
    choices = [choice.strip(" '") for choice in expected.replace(" or ", ",").split(",")]
    return nearest(str(details["input"]), [choice for choice in choices if choice])


def _inside(document: Document, loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The part of a pydantic location that exists in the file (tags and aliases drop out)."""
    node: Any = document.values
    path: list[str | int] = []
    for step in loc:
        if isinstance(node, dict):
            held = step in node
        else:
            held = isinstance(node, list) and isinstance(step, int) and step < len(node)
        if held:
            node = node[step]
            path.append(step)
    return tuple(path)


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(str(step) for step in path) or "the file"


def _keys(adapter: TypeAdapter[Any]) -> list[str]:
    """Every key that the kind's schema names; enough to find the nearest."""
    definitions = adapter.json_schema(by_alias=True)
    schemas = [definitions, *definitions.get("$defs", {}).values()]
    return sorted({key for schema in schemas for key in schema.get("properties", {})})
