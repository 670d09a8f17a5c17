"""What a windowed view asks for, in column names: plain data that travels to executors.

The features stage makes it from a view's definition; arrow.py and batch.py carry it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from feldspar.compute.windows.functions import CODED, AggregationPlan, AsOf, RequestEvent
from feldspar.compute.windows.rule import WindowRule
from feldspar.errors import EngineError

LONGEST_MAX_FUTURE = 86_400_000_000
"""Microseconds: what a table's ``max_future`` may be at most."""


@dataclass(frozen=True)
class EventColumns:
    """Names of the system columns in the events; ``retracted`` is an optional boolean column."""

    event_id: str = "_event_id"
    event_time: str = "_event_time"
    known_time: str = "_known_time"
    batch: str = "_batch"
    position: str = "_position"
    retracted: str | None = None


@dataclass(frozen=True, kw_only=True)
class WindowPlan:
    """The output columns of one windowed view over one spine.

    Attributes:
        spine_keys, event_keys: the entity's key columns in both frames, pair by pair.
        spine_time: the spine's T, a timestamp.
        aggregations: the output columns.
        own_event_id: spine column with the id of the row's own event; None: rows have none. A row
            whose id is null has none either.
        own_arguments: aggregated column -> spine column that says its value for the own event.
        columns: names of the events' system columns.
        delay, serving_delay: microseconds.
        as_of, request_event: see WindowRule.
    """

    spine_keys: tuple[str, ...]
    event_keys: tuple[str, ...]
    spine_time: str
    aggregations: tuple[AggregationPlan, ...]
    own_event_id: str | None = None
    own_arguments: Mapping[str, str] = field(default_factory=dict)
    columns: EventColumns = field(default_factory=EventColumns)
    delay: int = 0
    serving_delay: int = 0
    as_of: AsOf = "known"
    request_event: RequestEvent = "include"

    def __post_init__(self) -> None:
        names = [item.name for item in self.aggregations]
        if not names or len(set(names)) < len(names):
            raise EngineError(f"output columns {names} must be at least one, each once")
        if not self.spine_keys or len(self.spine_keys) != len(self.event_keys):
            raise EngineError(f"keys {self.spine_keys} and {self.event_keys} do not pair up")
        silent = [name for name in self.arguments if name not in self.own_arguments]
        if self.folds_own and silent:
            raise EngineError(
                f"the own event is folded in, but the spine does not say its {silent}",
                hint="map them in own_arguments, or ask for request_event: exclude",
            )

    @property
    def rule(self) -> WindowRule:
        """The same as one value."""
        return WindowRule(self.delay, self.serving_delay, self.as_of, self.request_event)

    @property
    def folds_own(self) -> bool:
        """Whether own values of spine rows enter the windows."""
        return self.own_event_id is not None and self.rule.folds_own

    @property
    def reach(self) -> int:
        """How far before T rows matter that happened and were known: no row is known more than
        ``max_future`` before it happens, so what is older counts in no window and hides no event
        that does.
        """
        longest = max(item.window_micros + item.hop_micros for item in self.aggregations)
        return self.delay + longest + LONGEST_MAX_FUTURE

    @property
    def arguments(self) -> tuple[str, ...]:
        """The aggregated columns, each once."""
        return tuple(dict.fromkeys(name for item in self.aggregations for name in item.columns))

    @property
    def coded(self) -> frozenset[str]:
        """The aggregated columns that nothing is computed of: they may hold texts, instants."""
        strict = {item.argument for item in self.aggregations if item.function not in CODED}
        return frozenset(self.arguments) - strict

    @property
    def event_columns(self) -> tuple[str, ...]:
        """The columns of the events that are read, each once."""
        own = self.columns
        system = (own.event_id, own.event_time, own.known_time, own.batch, own.position)
        retracted = () if own.retracted is None else (own.retracted,)
        return tuple(dict.fromkeys((*self.event_keys, *system, *retracted, *self.arguments)))
