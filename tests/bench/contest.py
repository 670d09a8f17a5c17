"""Rivals in turn, A B C A B C: first runs apart, then rounds; answers compared, limits kept.

An entry is one figure to be measured. Entries of one rival share its process, unless the contest
is about fresh processes or about memory, where each entry gets one of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.dataset as ds

from bench import answers
from bench.checks_rules import rules
from bench.inputs import CheckData, Inputs, PitData, Settings
from bench.processes import FailedError, Order, StoppedError, Usage, Worker, variables_for
from bench.rivals.catalogue import Rival

PREPARE_LIMIT = 1_800.0
_WORTH_TELLING = 0.05


@dataclass(frozen=True)
class Entry:
    """One figure to be measured.

    Attributes:
        label: its name in the table.
        rival: its name in the catalogue.
        data: what is read.
        do: ``run``, ``extend`` a copy of the layout, or ``prepare`` a layout anew.
        layout_of: the data whose layout is prepared first; None: it works without, and
            ``extend`` adds to an empty one.
        options: what the question asks.
        question: entries that ask the same must answer the same; empty: not compared.
        tolerance: of that comparison; 0 compares by an exact checksum first.
        turn: ``first`` or ``second`` run of a fresh process.
    """

    label: str
    rival: str
    data: Inputs
    do: str = "run"
    layout_of: Inputs | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    question: str = ""
    tolerance: float = 0.0
    turn: str = ""

    def taking(self, turn: str) -> Entry:
        """The same at one turn of a fresh process."""
        return replace(self, label=f"{self.label}, {turn} run", turn=turn)


@dataclass
class Measured:
    """What came of an entry."""

    entry: Entry
    start: Usage | None = None
    prepared: Usage | None = None
    first: Usage | None = None
    runs: list[Usage] = field(default_factory=list)
    answer: str = ""
    ended: str = ""

    @property
    def seconds(self) -> list[float]:
        return [run.seconds for run in self.runs]


@dataclass(frozen=True)
class Place:
    """What every contest needs to know of machine and folders."""

    folder: Path
    catalogue: Mapping[str, Rival]
    pythons: Mapping[bool, Path]
    paths: tuple[Path, ...]
    java: Path
    cores: int
    memory: str
    runs: int
    limit: float
    progress: Callable[[str], None]

    def worker(self, rival: str) -> Worker:
        """A new process of a rival."""
        one = self.catalogue[rival]
        scratch = self.folder / "scratch" / rival
        scratch.mkdir(parents=True, exist_ok=True)
        return Worker(
            (self.pythons[one.is_guest], one.target),
            Settings(self.cores, self.memory, str(scratch)),
            variables=variables_for(self.paths, cores=self.cores, java=self.java),
            log=self.folder / "logs" / f"{rival}.log",
        )


class Contest:
    """Entries that are measured side by side.

    Args:
        name: of the case.
        entries: in the order of their turns; the first to answer a question is its reference.
        place: folders and limits.
        apart: whether every entry gets a process of its own.
    """

    def __init__(
        self, name: str, entries: Sequence[Entry], place: Place, *, apart: bool = False
    ) -> None:
        self._name = name
        self._place = place
        self._apart = apart
        self._workers: dict[str, Worker] = {}
        self._references: dict[str, tuple[str, Path]] = {}
        self._home = place.folder / "work" / name
        self.measured = [Measured(entry) for entry in entries]

    def hold(self) -> list[Measured]:
        """All first runs, then all rounds."""
        shutil.rmtree(self._home, ignore_errors=True)
        try:
            for one in self.measured:
                self._try(one, self._first)
            for number in range(1, self._place.runs + 1):
                for one in self.measured:
                    self._try(one, self._run, note=f"round {number}/{self._place.runs}")
        finally:
            for worker in self._workers.values():
                worker.stop()
            shutil.rmtree(self._home, ignore_errors=True)
        return self.measured

    def hold_fresh(self) -> list[Measured]:
        """In every round a new process for each: its first run, then its second.

        Returns:
            The first runs of each entry, then the second runs of each.
        """
        entries = [one.entry for one in self.measured]
        firsts = [Measured(entry.taking("first")) for entry in entries]
        seconds = [Measured(entry.taking("second")) for entry in entries]
        shutil.rmtree(self._home, ignore_errors=True)
        try:
            for first in firsts:
                self._try(first, self._prepare, note="layout")
                self._drop(first.entry)
            for number in range(1, self._place.runs + 1):
                for first, second in zip(firsts, seconds, strict=True):
                    self._try(first, self._run, note=f"round {number}, fresh process")
                    self._try(second, self._run, note=f"round {number}")
                    self._drop(first.entry)
        finally:
            for worker in self._workers.values():
                worker.stop()
            shutil.rmtree(self._home, ignore_errors=True)
        return [*firsts, *seconds]

    def _try(
        self, one: Measured, step: Callable[[Measured, str], None], *, note: str = "first"
    ) -> None:
        if one.ended:
            return
        try:
            step(one, note)
        except (StoppedError, FailedError) as error:
            one.ended = str(error)
            self._drop(one.entry)
            self._place.progress(f"{self._name}  {note}  {one.entry.label}: {error}")

    def _first(self, one: Measured, note: str) -> None:
        usage, out = self._carry_out(one)
        one.first = usage
        one.answer = self._compared(one.entry, out)
        self._tell(one, usage, note)

    def _run(self, one: Measured, note: str) -> None:
        usage, out = self._carry_out(one)
        one.runs.append(usage)
        if one.entry.question:
            answer = self._compared(one.entry, out)
            one.answer = answer if one.answer in ("", "equal", "reference") else one.answer
        self._tell(one, usage, note)

    def _prepare(self, one: Measured, _note: str) -> None:
        self._layout(one, self._worker(one))

    def _tell(self, one: Measured, usage: Usage, note: str) -> None:
        label = f"{self._name}  {note}  {one.entry.label}"
        self._place.progress(f"{label}: {usage.seconds:.2f} s {one.answer}")

    def _worker(self, one: Measured) -> Worker:
        key = one.entry.label if self._apart else one.entry.rival
        if key not in self._workers:
            self._workers[key] = self._place.worker(one.entry.rival)
        one.start = one.start or self._workers[key].start
        return self._workers[key]

    def _drop(self, entry: Entry) -> None:
        worker = self._workers.pop(entry.label if self._apart else entry.rival, None)
        if worker is not None:
            worker.stop()

    def _carry_out(self, one: Measured) -> tuple[Usage, Path]:
        entry, worker = one.entry, self._worker(one)
        out = _emptied(self._home / "out" / _file_name(entry.label))
        layout = self._layout(one, worker)
        if entry.do != "run":
            layout = self._copy(layout if entry.do == "extend" else None)
        order = Order(entry.do, entry.data, layout, out, entry.options)
        usage = worker.obey(order, limit=self._limit(entry))
        # what was written reaches the disk now, and not in the time of who comes next
        os.sync()
        return usage, out

    def _copy(self, layout: Path | None) -> Path:
        """A copy to be written to; of nothing, an empty folder."""
        copy = _emptied(self._home / "copy")
        if layout is None or not layout.exists():
            copy.mkdir(parents=True)
        else:
            shutil.copytree(layout, copy, copy_function=os.link)
        return copy

    def _limit(self, entry: Entry) -> float:
        return PREPARE_LIMIT if entry.do == "prepare" else self._place.limit

    def _layout(self, one: Measured, worker: Worker) -> Path:
        """The folder of the rival's layout, written once in a contest."""
        entry = one.entry
        name = entry.layout_of.name if entry.layout_of else "none"
        layout = self._home / "layouts" / entry.rival / name
        if layout.exists() or entry.layout_of is None:
            return layout
        layout.mkdir(parents=True)
        order = Order("prepare", entry.layout_of, layout, layout, {})
        one.prepared = worker.obey(order, limit=PREPARE_LIMIT)
        seconds = one.prepared.seconds
        if seconds >= _WORTH_TELLING:
            self._place.progress(f"{self._name}  {entry.label}: prepared in {seconds:.2f} s")
        return layout

    def _compared(self, entry: Entry, out: Path) -> str:
        if not entry.question:
            return ""
        expected = _rows_of(entry.data)
        found = answers.rows(out)
        if found != expected:
            return f"{found} rows in place of {expected}"
        if entry.question not in self._references:
            kept = _emptied(self._home / "references" / _file_name(entry.question))
            kept.parent.mkdir(parents=True, exist_ok=True)
            out.rename(kept)
            self._references[entry.question] = (entry.label, kept)
            return "reference"
        label, reference = self._references[entry.question]
        same = "reference" if label == entry.label else "equal"
        if not entry.tolerance and self._digest(entry, out) == self._digest(entry, reference):
            return same
        count = answers.differing(out, reference, entry.data, tolerance=entry.tolerance)
        return f"{count} rows differ" if count else same

    def _digest(self, entry: Entry, out: Path) -> str:
        return answers.digest(out, entry.data)


def _rows_of(data: Inputs) -> int:
    if isinstance(data, CheckData):
        return len(rules())
    path = data.spine if isinstance(data, PitData) else data.events
    return int(ds.dataset(path).count_rows())


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _file_name(label: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in label)
