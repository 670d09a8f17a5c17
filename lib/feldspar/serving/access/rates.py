"""How often each caller may ask: a token bucket each, in memory that does not grow with them.

A bucket is one number, the time at which it will be full again (the generic cell rate algorithm,
ITU-T I.371). Buckets are this process's own: with n workers a caller may ask n times as often.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from feldspar.serving.access.callers import TooManyError

MOST_CALLERS = 10_000


class Rates:
    """The buckets of callers.

    Args:
        rate: requests a second that a bucket gets back; None: nobody is limited.
        burst: requests that a full bucket holds.
        most: buckets that are kept; the one that was used least recently is dropped first.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        rate: float | None,
        burst: int,
        *,
        most: int = MOST_CALLERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._each = 0.0 if rate is None else 1.0 / rate
        self._ahead = burst * self._each
        self._most, self._clock = most, clock
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, name: str) -> None:
        """Takes one request out of a caller's bucket.

        Raises:
            TooManyError: it is empty; says when it will not be.
        """
        if not self._each:
            return
        now = self._clock()
        # taken out and put back, so that the first of the dictionary is the least recent
        full_at = max(self._full_at.pop(name, now), now) + self._each
        wait = full_at - now - self._ahead
        # a microsecond: a sum of floats is not refused for its rounding
        if wait > 1e-6:
            self._full_at[name] = full_at - self._each
            raise TooManyError(
                f"more than {1 / self._each:g} requests a second",
                hint=f"again in {wait:.2f} s; the limit stands in serving.limits",
                headers={"retry-after": str(max(1, math.ceil(wait)))},
            )
        self._full_at[name] = full_at
        if len(self._full_at) > self._most:
            del self._full_at[next(iter(self._full_at))]
