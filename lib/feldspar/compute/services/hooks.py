"""Loads a user's function by ``module:function``, and keeps its errors apart from ours."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

from feldspar.errors import EngineError, FeldsparError, UsageError


class HookError(EngineError):
    """A user's function failed; the user's own traceback is the cause."""


@cache
def load_hook(reference: str) -> Callable[..., Any]:
    """The function that ``module:function`` names.

    Raises:
        UsageError: the module cannot be imported or has no such function.
    """
    module_name, _, name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UsageError(
            f"hook {reference}: cannot import {module_name}: {error}",
            hint="install the package that holds it, or set PYTHONPATH",
        ) from error
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
        raise HookError(
            f"hook {reference} failed: {type(error).__name__}: {error}",
            hint="the traceback above this one shows where",
        ) from error
