"""Reads that are repeated where the store broke off."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from feldspar.errors import UnreachableError
from feldspar.stores.tables.again import again

TRIES = 4


def breaking(times: int, error: Exception) -> Callable[[], str]:
    """A read that fails so many times before it answers."""
    left = iter([error] * times)

    @again
    def read() -> str:
        for one in left:
            raise one
        return "rows"

    return read


def test_a_read_that_broke_off_is_repeated() -> None:
    assert breaking(TRIES - 1, OSError("end of file before message length reached"))() == "rows"


def test_a_store_that_never_gives_a_whole_answer_is_told() -> None:
    with pytest.raises(UnreachableError, match="the store broke off: end of file before message"):
        breaking(TRIES, OSError("end of file\n  before message length reached"))()


def test_what_is_not_there_is_an_answer() -> None:
    read = breaking(1, FileNotFoundError("no such file"))

    with pytest.raises(FileNotFoundError):
        read()
    assert read() == "rows"
