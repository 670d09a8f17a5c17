"""What is deployed and waiting, as plain values: the only thing a plan knows of the outside.

Filled by ``stores.deployed.observe``; a plan made from equal values is equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TableId = tuple[str, str]
"""(layer, name), e.g. ("silver", "transactions")."""


@dataclass(frozen=True)
class WaitingFile:
    """A file that no load has taken yet."""

    uri: str
    size: int
    modified: int
    """Microseconds since the epoch."""


@dataclass(frozen=True)
class TableState:
    """A Delta table: its version, what it was built from and how far it has read.

    ``cursors`` maps a step's name to the source version its last commit covers.
    """

    version: int
    definition: str | None = None
    cursors: Mapping[str, int] = field(default_factory=dict)
    generation: int = 0
    """Counts rebuilds: cursors of an older generation mean nothing."""
    source_generation: int = 0
    """The generation of the source it was built from."""
    layout: str | None = None
    """How a gold table's rows lie in its files; see ``names.GOLD_LAYOUT``."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Names and types, as Spark calls them."""


@dataclass(frozen=True)
class SourceState:
    """A files or Delta source; ``version`` is that of a Delta table."""

    waiting: tuple[WaitingFile, ...] = ()
    known: int = 0
    version: int | None = None


@dataclass(frozen=True)
class PushState:
    """A view in Redis: the gold version it equals and the definition it was packed with."""

    version: int
    definition: str
    generation: int = 0


@dataclass(frozen=True)
class ModelState:
    """The last training of a model: its cut (microseconds) and its definition."""

    cut: int
    definition: str
    champion: str | None


@dataclass(frozen=True)
class Observed:
    """Everything ``plan`` is told."""

    tables: Mapping[TableId, TableState] = field(default_factory=dict)
    sources: Mapping[str, SourceState] = field(default_factory=dict)
    generated: Mapping[str, str] = field(default_factory=dict)
    """Generator source to the canonical options its finished files were made with."""
    pushed: Mapping[str, PushState] = field(default_factory=dict)
    models: Mapping[str, ModelState] = field(default_factory=dict)
    clock: int | None = None
    """Now, in microseconds: the wall clock or the newest committed event."""
