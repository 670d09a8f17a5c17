"""Are the functions that YAML names there? Answered from their source, without running it.

Importing a user's module would cost seconds and could do anything; only one whose names cannot
be read from its text (compiled, or filled by a star import) is imported after all. Calling a
hook is for ``compute.services.hooks``.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

from feldspar.errors import nearest
from feldspar.graph.problems import Place, Problems
from feldspar.spec.loading import Definitions
from feldspar.spec.source import GeneratorSource
from feldspar.spec.view import OnDemandViewSpec

STAR = "*"


def check_hooks(definitions: Definitions) -> None:
    """Looks up every ``module:function`` of the definitions.

    Raises:
        DefinitionError: with every module or function that is not there.
    """
    problems = Problems(definitions)
    for place, hook in _hooks(definitions):
        module, _, function = hook.partition(":")
        found = _find(module)
        if found is None:
            text = f"{hook}: there is no module {module!r}"
            problems.note(place, text, see=f"python -c 'import {module}'")
            continue
        names = _names(module, found)
        if names is None:
            problems.note(place, f"{hook}: {found.origin} is not Python that can be read")
        elif function not in names:
            near = nearest(function, names)
            problems.note(place, f"{hook}: {module} has no function {function!r}", near=near)
    problems.close()


def _hooks(definitions: Definitions) -> Iterator[tuple[Place, str]]:
    for name, source in definitions.sources.items():
        if isinstance(source, GeneratorSource):
            yield Place("sources", name, ("hook",)), source.hook
    for name, view in definitions.views.items():
        if isinstance(view, OnDemandViewSpec):
            yield Place("views", name, ("on_demand",)), view.on_demand


def _find(module: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        return None


def _names(module: str, found: ModuleSpec) -> frozenset[str] | None:
    """Names at the top of a module; None where its text is no Python."""
    origin = Path(found.origin or "")
    if origin.suffix != ".py":
        return frozenset(vars(importlib.import_module(module)))
    try:
        tree = ast.parse(origin.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return None
    names = frozenset(name for node in tree.body for name in _bound(node))
    return frozenset(vars(importlib.import_module(module))) if STAR in names else names


def _bound(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Import() | ast.ImportFrom():
            yield from (alias.asname or alias.name for alias in node.names)
        case ast.Assign():
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case ast.If() | ast.Try() | ast.With():
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.stmt):
                    yield from _bound(child)
