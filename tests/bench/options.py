"""What both benchmarks are asked for on the command line, and the place they work in."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from rich.console import Console

from bench.contest import Entry, Place
from bench.rivals.catalogue import Rival
from bench.rivals.environment import rivals_python
from feldspar.launch.java import java_home
from support.places import REPOSITORY


def read_options(
    description: str, cases: Iterable[str], rivals: Iterable[str]
) -> argparse.Namespace:
    """The options; ``cases`` and ``rivals`` come as lists of known names."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--cases", type=_names(cases), default=list(cases), help=", ".join(cases))
    parser.add_argument(
        "--rivals",
        type=_names(rivals),
        default=list(rivals),
        help=f"{', '.join(rivals)}; DuckDB's answer is the reference where it takes part",
    )
    parser.add_argument("--runs", type=int, default=5, help="rounds after the first run")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the rows; 0.1 is quick")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds a run may take")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--memory", default="6g", help="heap of a Spark driver")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "bench")
    return parser.parse_args()


def make_place(
    options: argparse.Namespace, catalogue: Mapping[str, Rival], console: Console, *, python: Path
) -> Place:
    """Folders, limits and interpreters; the rivals' environment where one is needed.

    Who is told to end takes the rivals' processes along.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    folder: Path = options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    guests = any(catalogue[name].is_guest for name in options.rivals)
    guest = rivals_python(folder, progress=console.log) if guests else python
    return Place(
        folder=folder,
        catalogue=catalogue,
        pythons={False: python, True: guest},
        paths=(REPOSITORY / "lib", REPOSITORY / "tests"),
        java=java_home(folder, os.environ),
        cores=options.cores,
        memory=options.memory,
        runs=options.runs,
        limit=options.limit,
        progress=console.log,
    )


def chosen(entries: Iterable[Entry], rivals: Iterable[str]) -> list[Entry]:
    """The entries of the rivals that were asked for."""
    wanted = set(rivals)
    return [entry for entry in entries if entry.rival in wanted]


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Reads a list of names with commas between."""
    listed = tuple(known)

    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        unknown = [name for name in names if name not in listed]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown} not in {', '.join(listed)}")
        return names

    return read
