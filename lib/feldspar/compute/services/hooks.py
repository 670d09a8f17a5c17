"""Loads a user's function by ``module:function``, and keeps its errors apart from ours."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from feldspar.errors import EngineError, FeldsparError, UsageError


class HookError(EngineError):
    """A user's function failed or answered what it may not; the cause is the user's own error."""


@cache
def load_hook(reference: str) -> Callable[..., Any]:
    """The function that ``module:function`` names.

    Raises:
        UsageError: the module cannot be imported or has no such function.
        HookError: the module raised while it was imported.
    """
    module_name, _, name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UsageError(
            f"hook {reference}: cannot import {module_name}: {error}",
            hint="install the package that holds it, or set PYTHONPATH",
        ) from error
    except Exception as error:  # the boundary around users' code
        said = f"{type(error).__name__}: {error}"
        raise HookError(f"hook {reference}: importing {module_name} raised {said}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise UsageError(f"hook {reference}: {module_name} has no function {name!r}")
    hook: Callable[..., Any] = function
    return hook


def call_hook(reference: str, *arguments: Any, **options: Any) -> Any:
    """Calls a user's function.

    Raises:
        HookError: it raised; "your hook failed" never looks like "we failed".
    """
    function = load_hook(reference)
    try:
        return function(*arguments, **options)
    except FeldsparError:
        raise
    except Exception as error:  # the boundary around users' code
        said = f"{type(error).__name__}: {error}"
        raise HookError(f"hook {reference} failed at {_line(error, function)}: {said}") from error


def _line(error: Exception, function: Callable[..., Any]) -> str:
    """File, line and text of the innermost place in the user's own file.

    Below it are the libraries that he calls, which tell him little.
    """
    frames = traceback.extract_tb(error.__traceback__)
    file = getattr(getattr(inspect.unwrap(function), "__code__", None), "co_filename", None)
    place = ([one for one in frames if one.filename == file] or frames)[-1]
    path, here = Path(place.filename), Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return f"{shown}:{place.lineno} ({place.line})"
