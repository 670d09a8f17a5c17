"""Micro-batches put into the value of one entity, in any order and split, against the oracle.

A stream may bring late rows, corrections and departures, repeat a batch, stop half-way and go on
with a larger one; the floor moves on and values expire. After each batch every fold must be that of
all rows delivered so far.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from feldspar.compute.windows.merge import merge_tiles
from feldspar.compute.windows.online import OnlineFold, OwnEvent
from feldspar.compute.windows.tiles import Rows, TiledFold, Tiles, make_tiles
from feldspar.graph.tiling import Part, Series, tiling
from feldspar.online import advance
from feldspar.online.state import of_history, pack_state, series_of, unpack_state
from feldspar.spec.types import ColumnType
from feldspar.stores.events import stamp_of
from feldspar.stores.retain import Horizon
from feldspar.stores.rows import Layout
from feldspar.stores.tiles import unpack, value_layout
from property import frames, oracle
from property.closeness import difference
from property.planting import planted
from property.test_windows_online import LAYOUT, events_of
from property.test_windows_tiles import Case, cases

ENGINE = "feldspar.online.advance"
MERGE = "feldspar.compute.windows.merge"
quick = settings(deadline=None, phases=[Phase.generate], derandomize=True)
KEY = frames.KEYS[0]
HIDDEN = "a version that a dropped one hides"
BUGS = {
    "a row counted twice after a stop": (ENGINE, "or stamp.version > span.after:", "or False:"),
    "a tile in place of what was there": (MERGE, "state if known is None else _merged", "state or"),
    "a correction of what is in a tile": (ENGINE, "added.again if", "False if"),
    HIDDEN: (ENGINE, "known <= forgotten and", "known < -99 and"),
}


@dataclass(frozen=True)
class Stream:
    """One entity's view and the way its rows come.

    Attributes:
        case: the view.
        layout: of its values.
        history: how long before the clock of a batch the store answers.
    """

    case: Case
    layout: Layout
    history: int

    @property
    def retention(self) -> int:
        longest = max(item.window_micros + item.hop_micros for item in self.case.items)
        return longest + self.case.rule.delay

    def horizon(self, clock: int) -> Horizon:
        return Horizon(clock - self.history, self.retention, self.case.rule.serving_delay)

    def answers(self, value: bytes | None, t: int, own: OwnEvent | None) -> dict:
        rule, items = self.case.rule, self.case.items
        series = series_of(self.layout)
        fold = TiledFold(items, rule, series) if series else OnlineFold(items, rule)
        return fold.fold(None if value is None else unpack(self.layout, value), t, own)


def gold_of(rows: Sequence[oracle.Version]) -> list[oracle.Version]:
    """The rows of the entity: its own, and versions that left it."""
    own = {row.event_id for row in rows if row.key == KEY and row.event_id is not None}
    return [row for row in rows if row.key == KEY or row.event_id in own]


@dataclass
class Store:
    """One key of the store, and the cursor of its view."""

    stream: Stream
    engine: ModuleType
    value: bytes | None = None
    after: int = -1

    def push(self, batches: Sequence[Sequence[oracle.Version]], upto: int, horizon: Horizon):
        """What a push of the batches up to ``upto`` writes; the cursor stays."""
        engine, layout = self.engine, self.stream.layout
        delivered = [row for batch in batches[: upto + 1] for row in batch]
        before = gold_of([row for batch in batches[: self.after + 1] for row in batch])
        gold = gold_of(delivered)
        new = [row for row in gold if row not in before]
        self._expire(horizon)
        if not new:
            return
        versions = Counter(row.event_id for row in delivered if row.event_id is not None)
        again = any(versions[row.event_id] > 1 for row in new)
        span = engine.Span(self.after, upto, 1)
        found = engine.advance(
            self.value, engine.Added(events_of(new, KEY), again), span, horizon, layout
        )
        if found is engine.Verdict.HISTORY:
            found = of_history(events_of(gold, KEY), horizon, layout)
        if found is not engine.Verdict.HELD:
            packed = pack_state(layout, found, epoch=1, version=upto)
            if self.value is None or stamp_of(self.value).version < upto:
                self.value = packed

    def _expire(self, horizon: Horizon) -> None:
        layout = self.stream.layout
        if self.value is not None:
            newest = unpack_state(layout, self.value).newest(series_of(layout))
            if newest + horizon.retention <= horizon.floor:
                self.value = None


def differences(
    stream: Stream, rows: list, chance: random.Random, engine: ModuleType = advance
) -> list[str]:
    """Pushes the rows batch by batch and compares folds after each."""
    batches = _split(rows, chance)
    store, clock, wrong = Store(stream, engine), -16, []
    for upto in range(len(batches)):
        clock += chance.choice((0, 1, 1, 4, 9))
        reached = chance.choice(("all", "all", "all", "stopped before", "stopped after", "twice"))
        if reached != "stopped before":
            store.push(batches, upto, stream.horizon(clock))
        if reached == "twice":
            store.push(batches, upto, stream.horizon(clock + 1))
        if reached.startswith("stopped"):
            continue
        store.after = upto
        delivered = [row for batch in batches[: upto + 1] for row in batch]
        wrong += _folded(stream, store.value, delivered, clock, chance)
    return wrong


def _split(rows: list, chance: random.Random) -> list[list]:
    cuts = sorted(chance.randint(0, len(rows)) for _ in range(chance.randint(1, 7)))
    return [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


def _folded(
    stream: Stream, value: bytes | None, rows: list, clock: int, chance: random.Random
) -> list[str]:
    wrong = []
    floor, case = stream.horizon(clock).floor, stream.case
    for later in (0, chance.randint(0, 30)):
        # a tile has no ids: an event that the push knew already does not come again
        known = [row.event_id for row in rows if row.event_time < clock]
        idents = [one for one in range(9) if one not in known or not series_of(stream.layout)]
        ident = chance.choice((None, 97, *idents))
        values = frames.random_values(chance, frames.AMOUNTS)
        question = oracle.Question(KEY, floor + later, ident, values)
        own = None if ident is None else OwnEvent(ident, values)
        answers = stream.answers(value, floor + later, own)
        pool = [row.values for row in rows] + [values]
        for item in case.items:
            expected = oracle.window(question, rows, item, case.rule)
            found = difference(item, answers[item.name], expected, pool)
            wrong += [f"{question}: {found}"] if found else []
    return wrong


@st.composite
def exact(draw: st.DrawFn) -> Stream:
    """A view whose events are kept."""
    items, rule = draw(frames.hopping())
    rule = replace(rule, as_of="known")
    return Stream(Case(items, rule), LAYOUT, draw(st.sampled_from((0, 3, 8))))


@st.composite
def tiled(draw: st.DrawFn) -> Stream:
    """A view whose older events are kept as tiles."""
    case = draw(cases())
    assert tiling(case.view)
    return Stream(case, value_layout(case.view), 0)


def mostly_single(rows: list, seed: int) -> list:
    """Most rows as the entity's own and the only version of their event: what merges into tiles."""
    chance = random.Random(seed)
    return [
        replace(row, key=KEY, event_id=100 + row.position, retracted=False)
        if chance.random() < 0.8
        else row
        for row in rows
    ]


def often_corrected(rows: list, seed: int) -> list:
    """All rows as versions of two of the entity's events, the last known are delivered first.

    Many give the event a time before all windows: such a version is dropped, and hides others.
    """
    chance = random.Random(seed)
    versions = [
        replace(
            row,
            key=KEY,
            event_id=chance.randint(0, 1),
            event_time=row.event_time - chance.choice((0, 0, 500)),
        )
        for row in rows
    ]
    return sorted(versions, key=lambda one: -one.known_time)


seeds = st.integers(0, 2**32)
streams = st.one_of(exact(), tiled())
corrected = st.builds(often_corrected, frames.versions(), seeds)
histories = st.one_of(
    frames.versions(), corrected, st.builds(mostly_single, frames.versions(), seeds)
)


@settings(max_examples=frames.CASES, deadline=None)
@given(streams, histories, seeds)
def test_every_fold_after_every_batch_is_the_oracles(stream, rows, seed) -> None:
    assert differences(stream, rows, random.Random(seed)) == []


def folds_are_the_oracles(
    engine: ModuleType,
    drawn: st.SearchStrategy,
    cases: int,
    delivered: st.SearchStrategy = histories,
) -> None:
    @settings(quick, max_examples=cases)
    @given(drawn, delivered, seeds)
    def holds(stream, rows, seed) -> None:
        assert differences(stream, rows, random.Random(seed), engine) == []

    holds()


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_in_the_stream_is_caught(bug: str) -> None:
    module, old, new = BUGS[bug]
    drawn, delivered = (exact(), corrected) if bug == HIDDEN else (tiled(), histories)
    with planted(module, old, new, engine=ENGINE) as engine, pytest.raises(AssertionError):
        folds_are_the_oracles(engine, drawn, 4 * frames.CASES, delivered)


def test_without_a_bug_nothing_is_caught() -> None:
    with planted(MERGE, "State = tuple", "State = tuple", engine=ENGINE) as engine:
        folds_are_the_oracles(engine, streams, 30)


def test_tiles_merged_from_two_halves_are_those_of_all_events() -> None:
    chance = random.Random(5)
    kinds = ("count", "total", "low", "high", "mean", "m2", "registers", "buckets", "first", "last")
    parts = tuple(Part(kind, "amount", ColumnType.DOUBLE, 2) for kind in kinds)
    series = Series(5, parts, 1_000)
    orders = [(at, at, 0, at) for at in range(60)]
    amounts = [chance.choice((None, 1e9 + 1, 1e9 + 3, -2.5, 7.0)) for _ in orders]

    def tiles(places: Sequence[int]) -> Tiles:
        columns = {"amount": [amounts[place] for place in places]}
        return make_tiles(Rows([orders[place] for place in places], columns), series, 60)

    some = sorted(chance.sample(range(60), 25))
    others = [place for place in range(60) if place not in some]
    merged, whole = merge_tiles(tiles(some), tiles(others), series, 60), tiles(range(60))

    assert merged.tiles == whole.tiles
    for part, found, expected in zip(parts, merged.columns, whole.columns, strict=True):
        exact = part.kind not in ("total", "mean", "m2")
        near = expected if exact else [pytest.approx(one, rel=1e-12) for one in expected]
        assert list(found) == near, part.kind
