"""The rule that says what a window at T counts; the same value for every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

from feldspar.compute.columns import Longs
from feldspar.compute.windows.functions import AsOf, RequestEvent
from feldspar.errors import EngineError


@dataclass(frozen=True)
class WindowRule:
    """What a window at T counts.

    Lengths of time are microseconds.

    Attributes:
        delay: the window is (T - delay - N, T - delay].
        serving_delay: time a row needs from known_time to the online store.
        as_of: ``known``: what was visible at T; ``event``: all versions as known today.
        request_event: whether the own event is folded in or left out.
    """

    delay: int = 0
    serving_delay: int = 0
    as_of: AsOf = "known"
    request_event: RequestEvent = "include"

    def __post_init__(self) -> None:
        if self.delay < 0 or self.serving_delay < 0:
            raise EngineError(
                f"delay {self.delay} us, serving_delay {self.serving_delay} us: "
                "neither may be negative"
            )

    @property
    def folds_own(self) -> bool:
        """Whether the own event, which happens at T, can lie in a window."""
        return self.request_event == "include" and self.delay == 0

    @overload
    def edges(self, t: int, window: int, hop: int) -> tuple[int, int]: ...
    @overload
    def edges(self, t: Longs, window: int, hop: int) -> tuple[Longs, Longs]: ...
    def edges(self, t: int | Longs, window: int, hop: int) -> tuple[int | Longs, int | Longs]:
        """The old edge of a window at T, open, and the new one, closed.

        With a hop the old edge is rounded down to a multiple of it, before 1970 too, and with a
        delay the new one as well; the hop divides window and delay.
        """
        if not hop:
            return t - self.delay - window, t - self.delay
        rounded = t // hop * hop
        return rounded - self.delay - window, (rounded if self.delay else t) - self.delay

    def span(self, event_time: Longs, window: int, hop: int) -> tuple[Longs, Longs]:
        """From which T on, and up to which T exclusively, events lie between the edges."""
        enters = event_time + self.delay
        leaves = enters + window
        if not hop:
            return enters, leaves
        # the first multiples that are no less
        leaves = -(-leaves // hop) * hop
        return (-(-enters // hop) * hop if self.delay else enters), leaves
