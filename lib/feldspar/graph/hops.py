"""The hop of each window of a view: edges are rounded down to multiples of it.

A hop divides its window and the view's delay, so that both edges fall on the same raster.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import gcd

from feldspar.errors import UsageError, nearest
from feldspar.graph.scope import Scope
from feldspar.spec.view import WindowedViewSpec
from feldspar.times import format_duration, parse_duration

EXACT = timedelta(0)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Hops:
    """Window to hop; a window that is not named is exact."""

    known: dict[timedelta, timedelta]

    def of_window(self, window: timedelta) -> timedelta:
        """The hop of a window; zero: exact."""
        return self.known.get(window, EXACT)

    @staticmethod
    def of(spec: WindowedViewSpec, scope: Scope) -> Hops:
        """The hops of a view; what does not divide is noted with the nearest that does."""
        sizes = _sizes(spec)
        if spec.hop is None:
            return Hops({})
        if isinstance(spec.hop, timedelta):
            for size in sizes:
                _check(size, spec.hop, spec, scope, path=("hop",))
            return Hops(dict.fromkeys(sizes, spec.hop))
        found = {}
        for text, hop in spec.hop.items():
            window = _window(text, sizes, scope)
            if window is not None:
                _check(window, hop, spec, scope, path=("hop", text))
                found[window] = hop
        return Hops(found)


def _sizes(spec: WindowedViewSpec) -> list[timedelta]:
    """Every window of the view, each once."""
    sizes = [*spec.windows]
    for feature in spec.features.values():
        sizes += feature.windows or ()
        sizes += () if feature.window is None else (feature.window,)
    return list(dict.fromkeys(sizes))


def _window(text: str, sizes: list[timedelta], scope: Scope) -> timedelta | None:
    try:
        size = parse_duration(text)
    except UsageError as error:
        scope.note(("hop", text), error.message, hint=error.hint or "")
        return None
    if size not in sizes:
        known = [format_duration(one) for one in sizes]
        near = ", ".join(nearest(text, known) or known)
        scope.note(("hop", text), f"no feature has a window {text}", hint=f"nearest: {near}")
        return None
    return size


def _check(
    window: timedelta,
    hop: timedelta,
    spec: WindowedViewSpec,
    scope: Scope,
    *,
    path: tuple[str | int, ...],
) -> None:
    common = gcd(window // _SECOND, spec.delay // _SECOND)
    if hop > EXACT and common % (hop // _SECOND) == 0:
        return
    of = f"the window {format_duration(window)}"
    if spec.delay:
        of += f" and the delay {format_duration(spec.delay)}"
    near = format_duration(nearest_divisor(common, hop // _SECOND) * _SECOND)
    scope.note(path, f"hop {format_duration(hop)} does not divide {of}", hint=f"nearest: {near}")


def nearest_divisor(number: int, wanted: int) -> int:
    """The divisor of a number that is nearest to what was wanted; the smaller of two.

    >>> nearest_divisor(86_400, 420)
    432
    """
    small = [one for one in range(1, int(number**0.5) + 1) if number % one == 0]
    divisors = {*small, *(number // one for one in small)}
    return min(sorted(divisors), key=lambda one: abs(one - wanted))
