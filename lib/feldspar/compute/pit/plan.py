"""What a plain view asks for, in column names: plain data that travels to executors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from feldspar.errors import EngineError

AsOf = Literal["known", "event"]


@dataclass(frozen=True, kw_only=True)
class PitPlan:
    """The newest row of an entity, for each row of a spine.

    Attributes:
        spine_keys, row_keys: the entity's key columns in both frames, pair by pair.
        spine_time: the spine's T, a timestamp.
        columns: column of the rows -> output column; of any type.
        ttl: microseconds, inclusive; None: rows never run out.
        serving_delay: microseconds that a row needs from known_time to the online store.
        as_of: ``known``: among the rows visible at T; ``event``: as known today.
        event_time, known_time, batch, position: the rows' system columns.
        tombstone: boolean column; such a row wins like any other and yields nulls.
    """

    spine_keys: tuple[str, ...]
    row_keys: tuple[str, ...]
    spine_time: str
    columns: Mapping[str, str]
    ttl: int | None = None
    serving_delay: int = 0
    as_of: AsOf = "known"
    event_time: str = "_event_time"
    known_time: str = "_known_time"
    batch: str = "_batch"
    position: str = "_position"
    tombstone: str | None = None

    def __post_init__(self) -> None:
        outputs = list(self.columns.values())
        if not outputs or len(set(outputs)) < len(outputs):
            raise EngineError(f"output columns {outputs} must be at least one, each once")
        if not self.spine_keys or len(self.spine_keys) != len(self.row_keys):
            raise EngineError(f"keys {self.spine_keys} and {self.row_keys} do not pair up")
        if self.serving_delay < 0 or (self.ttl is not None and self.ttl < 0):
            raise EngineError(
                f"ttl {self.ttl} us, serving_delay {self.serving_delay} us: neither may be negative"
            )

    @property
    def reach(self) -> int | None:
        """How far before T a row can have happened that is an answer; None: any time."""
        return self.ttl

    @property
    def row_columns(self) -> tuple[str, ...]:
        """The columns of the rows that are read, each once."""
        system = (self.event_time, self.known_time, self.batch, self.position)
        tombstone = () if self.tombstone is None else (self.tombstone,)
        return tuple(dict.fromkeys((*self.row_keys, *system, *tombstone, *self.columns)))
