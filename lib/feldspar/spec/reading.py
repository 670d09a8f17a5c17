"""Reads one YAML file into plain values that still know their lines.

``Document.line`` answers for a path into the values; validation is done elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from feldspar.errors import DefinitionError, Problem, UsageError
from feldspar.spec.interpolate import interpolate

Step = str | int


@dataclass(frozen=True)
class Document:
    """One definition file: its values and where each stands."""

    file: str
    values: dict[str, Any]
    tree: Any

    def line(self, path: tuple[Step, ...]) -> int:
        """The line (from 1) of the deepest step of ``path`` that exists."""
        node, line = self.tree, 1
        for step in path:
            position = _position(node, step)
            if position is None:
                break
            line = position + 1
            node = node[step]
        return line


def read_document(path: Path, *, root: Path, variables: Mapping[str, str]) -> Document:
    """Reads a YAML mapping and fills in its variables.

    Args:
        path: the file.
        root: folder that file names in messages are relative to.
        variables: usually the process environment.

    Raises:
        DefinitionError: not YAML, not a mapping, or a variable without a value.
    """
    name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    try:
        # read first, fill in after: lines stay true, and a value may hold any character
        tree = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        text = f"not UTF-8: byte {error.start} cannot be read"
        raise DefinitionError([Problem(name, 1, text)]) from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DefinitionError([Problem(name, line, f"not YAML: {error.problem}")]) from error
    if not isinstance(tree, dict):
        raise DefinitionError([Problem(name, 1, "a definition is a mapping of keys to values")])
    document = Document(name, {}, tree)
    return Document(name, _plain(document, (), tree, variables), tree)


def _plain(
    document: Document, path: tuple[Step, ...], node: Any, variables: Mapping[str, str]
) -> Any:
    match node:
        case dict():
            return {
                str(key): _plain(document, (*path, key), value, variables)
                for key, value in node.items()
            }
        case list():
            return [
                _plain(document, (*path, index), value, variables)
                for index, value in enumerate(node)
            ]
        case str() if "${" in node:
            return _fill(document, path, node, variables)
        case _:
            return node


def _fill(
    document: Document, path: tuple[Step, ...], text: str, variables: Mapping[str, str]
) -> Any:
    try:
        filled = interpolate(text, variables)
    except UsageError as error:
        problem = Problem(document.file, document.line(path), error.message, hint=error.hint)
        raise DefinitionError([problem]) from error
    return filled


def _position(node: Any, step: Step) -> int | None:
    if isinstance(node, CommentedMap) and step in node:
        return int(node.lc.key(step)[0])
    if isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
        return int(node.lc.item(step)[0])
    return None
