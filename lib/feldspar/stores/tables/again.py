"""Small reads that are repeated where the store broke off.

The clients below repeat requests that are refused or not answered. An answer that ends in the
middle they report instead (seen of delta-rs and of Arrow, with one call in twenty disturbed).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from deltalake.exceptions import DeltaError
from deltalake.exceptions import TableNotFoundError as NoDeltaTable

from feldspar.errors import UnreachableError

TRIES = 4
_LONGEST = 200
P = ParamSpec("P")
T = TypeVar("T")


def again(read: Callable[P, T]) -> Callable[P, T]:
    """A function that reads, and reads once more where the connection broke, four times at most.

    What is not there is an answer and passes through.

    Raises:
        UnreachableError: no try brought an answer.
    """

    @wraps(read)
    def patient(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(TRIES):
            try:
                return read(*args, **kwargs)
            except (FileNotFoundError, NoDeltaTable):
                raise
            except (OSError, DeltaError) as error:
                broken = error
        raise broke_off(broken) from broken

    return patient


def broke_off(error: Exception) -> UnreachableError:
    """The error of a store that gave no whole answer."""
    text = " ".join(str(error).split())[:_LONGEST]
    return UnreachableError(f"the store broke off: {text}", hint="run it again")
