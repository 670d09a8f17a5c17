"""Small reads and writes that are repeated where the store broke off.

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

_TRIES = 4
_LONGEST = 200
P = ParamSpec("P")
T = TypeVar("T")


def again(read: Callable[P, T]) -> Callable[P, T]:
    """A function that reads, and reads once more where the connection broke, four times at most.

    What is not there is an answer and passes through.

    Raises:
        UnreachableError: no try brought an answer.
    """
    return _repeated(read, passing=(FileNotFoundError, NoDeltaTable))


def until_written(write: Callable[P, T]) -> Callable[P, T]:
    """A function that looks what is there and writes, and begins anew where that failed.

    It may have been written and the answer lost: only a look tells.

    Raises:
        UnreachableError: none of four tries was acknowledged.
    """
    return _repeated(write, passing=())


def _repeated(action: Callable[P, T], *, passing: tuple[type[Exception], ...]) -> Callable[P, T]:
    @wraps(action)
    def patient(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(_TRIES):
            try:
                return action(*args, **kwargs)
            except passing:
                raise
            except (OSError, DeltaError) as error:
                broken = error
        text = " ".join(str(broken).split())[:_LONGEST]
        raise UnreachableError(f"the store broke off: {text}", hint="run it again") from broken

    return patient
