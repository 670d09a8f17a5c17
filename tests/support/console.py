"""The console, run in the test's own process from a folder."""

from __future__ import annotations

import io
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from feldspar.cli.main import main


@dataclass(frozen=True)
class Ran:
    """What one command line did."""

    returncode: int
    stdout: str
    stderr: str


def feldspar(folder: Path, *words: str) -> Ran:
    """Runs a command line in this process, from a folder."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as ended:  # argparse leaves so, for --help and for wrong use
            code = int(ended.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())
