"""The rule that says what a window at T counts; the same value for every engine."""

from __future__ import annotations

from dataclasses import dataclass

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
