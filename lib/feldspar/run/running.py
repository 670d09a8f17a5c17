"""Which steps run at this moment, and since when: told by ``execute``, asked by the watchdog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from feldspar.graph.steps import Step


@dataclass(frozen=True)
class Begun:
    """A step that has begun and not ended."""

    step: Step
    started: datetime


class Running:
    """The steps that run, in the order in which they began; filled and asked by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._begun: list[Begun] = []

    @contextmanager
    def step(self, step: Step, *, started: datetime) -> Iterator[None]:
        """While it lasts, the step runs."""
        begun = Begun(step, started)
        with self._lock:
            self._begun.append(begun)
        try:
            yield
        finally:
            with self._lock:
                self._begun.remove(begun)

    def now(self) -> tuple[Begun, ...]:
        """The steps that run now."""
        with self._lock:
            return tuple(self._begun)
