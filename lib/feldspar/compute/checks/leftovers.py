"""What a killed run leaves half-written in Great Expectations' folder, and its removal.

The library writes its files in place; one that was cut off makes it fail at every later start. A
mark says that somebody writes. Where it is found and its process is gone, the definitions go, for
each validation writes them anew; results that are whole stay.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MARK = ".writing"
_CONFIG = ("great_expectations.yml", "uncommitted/config_variables.yml")
_DEFINED = ("expectations", "checkpoints", "validation_definitions")
_RESULTS = Path("uncommitted", "validations")
_TAIL = 64


@contextmanager
def marked(folder: Path) -> Iterator[None]:
    """Says that this process writes below ``folder``, until it has."""
    mark = folder / MARK
    mark.write_text(str(os.getpid()), encoding="utf-8")
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def remove_half_written(folder: Path, library: Path) -> bool:
    """Removes definitions, and results that were cut off, where a writer was killed.

    Args:
        folder: where the mark is.
        library: the library's own folder, with its configuration.

    Returns:
        Whether a writer was killed.
    """
    mark = folder / MARK
    if not mark.is_file() or psutil.pid_exists(_pid(mark)):
        return False
    cut = [one for one in (library / _RESULTS).rglob("*.json") if not _ends(one)]
    defined = [one for name in _DEFINED for one in (library / name).rglob("*.json")]
    for one in (*cut, *defined, *(library / name for name in _CONFIG)):
        one.unlink(missing_ok=True)
    mark.unlink()
    return True


def _pid(mark: Path) -> int:
    """Whose mark it is; -1, which nobody is, where the mark itself was cut off."""
    text = mark.read_text(encoding="utf-8")
    return int(text) if text.isdigit() else -1


def _ends(path: Path) -> bool:
    """Whether a JSON object is there to its end; it is not read for that."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return file.read().rstrip().endswith(b"}")
