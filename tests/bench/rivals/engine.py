"""What every rival is: a class that is started once, and runs the same job again and again.

The harness times ``run`` alone; ``prepare`` (a layout of one's own, a registry) is timed apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from bench.inputs import Inputs, Settings

Data = TypeVar("Data", bound=Inputs)


@dataclass(frozen=True)
class Job(Generic[Data]):
    """One run.

    Attributes:
        data: where the input lies.
        layout: the folder that ``prepare`` filled, or a copy of it.
        out: a folder that is not there yet; gets Parquet files.
        options: what this question asks, such as ``as_of``.
    """

    data: Data
    layout: Path
    out: Path
    options: Mapping[str, str]

    def made(self) -> Path:
        """``out``, made."""
        self.out.mkdir(parents=True)
        return self.out


class Engine(ABC, Generic[Data]):
    """A way to do the job, held up between runs: starting it is opening its session."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def run(self, job: Job[Data]) -> None:
        """Reads the data's Parquet files, or the layout, and writes Parquet files."""

    def prepare(self, data: Data, layout: Path) -> None:
        """Fills the folder ``layout``, which exists; a copy of it must serve as well."""

    def extend(self, job: Job[Data]) -> None:
        """Adds the rows of the data to the layout; windows also answer for each new row."""
        raise NotImplementedError(f"{type(self).__name__} has no layout to add to")

    def shuffled_bytes(self) -> int:
        """What has been written for shuffles since the start."""
        return 0

    def rest(self) -> None:
        """Gives memory back between runs, so that many sessions fit one machine."""
