"""Random small frames for the property tests, and the oracle's rows as Arrow tables.

Times lie within some microseconds around 1970 and values repeat, so that ties, neighbours,
late rows, corrections and equal rows are common and not rare. Half of the frames are drawn value
by value, which shrinks well but stays sparse; the other half are dense, from a seed: only they
meet rare conjunctions within some hundred cases.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import product

import pyarrow as pa
from hypothesis import strategies as st

from feldspar.compute.windows.functions import LISTED, MERGED, AggregationPlan
from feldspar.compute.windows.plan import EventColumns, WindowPlan
from feldspar.compute.windows.rule import WindowRule
from property.oracle import Key, Question, Version

CASES = int(os.environ.get("CASES", "200"))
INSTANT = pa.timestamp("us", tz="UTC")
KEYS: tuple[Key, ...] = ((1, "23"), (12, "3"), (1, "2"), (123, ""), (1, None), (None, "3"))
BUSY_KEYS = (*KEYS, *KEYS[:1] * 6, *KEYS[1:2] * 2)
AMOUNTS = (None, 0.0, 0.1, -2.5, 3.0, 1e9 + 1, 1e9 + 2, 1e9 + 3)
NEAR = (1e9 + 1, 1e9 + 2, 1e9 + 3)
"""Neighbours far from 0: only a sound variance tells them apart."""
WILD = (*AMOUNTS, float("nan"), float("inf"), float("-inf"))
LEVELS = (None, -3, 0, 7, 2**53 + 1)
RISKY = (None, True, False)
CHANNELS = (None, "atm", "online", "pos", "Ωmega", "")

times = st.integers(-12, 12)


# what is drawn at once costs hypothesis one choice and not five
moments = st.sampled_from([(key, at) for at in sorted(range(-12, 13), key=abs) for key in KEYS])
ages = st.sampled_from(
    list(product(range(-2, 10), range(3), (None, None, *range(9)), (*[False] * 9, True)))
)


def values(amounts: Sequence[float | None]) -> st.SearchStrategy[dict[str, object]]:
    """One value for each aggregated column."""
    names = ("amount", "level", "risky", "channel")
    found = product(amounts, LEVELS, RISKY, CHANNELS)
    return st.sampled_from([dict(zip(names, one, strict=True)) for one in found])


@cache
def sparse_versions(amounts: Sequence[float | None] = AMOUNTS) -> st.SearchStrategy[list[Version]]:
    """Rows of few entities and few event ids, so that most ids have several versions."""
    rows = st.lists(st.tuples(moments, ages, values(amounts)), max_size=14)
    return rows.map(_numbered).flatmap(st.permutations)


def _numbered(drawn: Sequence[tuple]) -> list[Version]:
    return [
        Version(key, at, at + late, batch, position, event_id, own, retracted)
        for position, ((key, at), (late, batch, event_id, retracted), own) in enumerate(drawn)
    ]


@cache
def sparse_questions(
    amounts: Sequence[float | None] = AMOUNTS,
) -> st.SearchStrategy[list[Question]]:
    """Spine rows; some twice, some without a key, a time or an event of their own."""
    own_ids = (None, None, None, *range(11))
    asked = st.sampled_from(
        [
            (key, at, own_id)
            for own_id in own_ids
            for at in (0, *range(-12, 13), None, None, None)
            for key in KEYS
        ]
    )
    rows = st.lists(
        st.builds(lambda one, own: Question(*one, own), asked, values(amounts)), max_size=6
    )
    return st.builds(lambda one, again: one + one[:again], rows, st.integers(0, 2))


def random_versions(
    generator: random.Random, size: int, reach: int, amounts: Sequence[float | None] = AMOUNTS
) -> list[Version]:
    """``size`` rows within ``reach`` microseconds of 1970; corrections often change the key."""
    found = []
    for position in range(size):
        at = generator.randint(-reach, reach)
        known = at + generator.choice((0, 0, 1, 6, generator.randint(-2, reach)))
        event_id = generator.choice((None, *(generator.randint(0, size // 2) for _ in range(9))))
        found.append(
            Version(
                generator.choice(BUSY_KEYS),
                at,
                known,
                generator.randint(0, 2),
                position,
                event_id,
                random_values(generator, amounts),
                generator.random() < 0.1,
            )
        )
    generator.shuffle(found)
    return found


def random_questions(
    generator: random.Random, size: int, reach: int, amounts: Sequence[float | None] = AMOUNTS
) -> list[Question]:
    """``size`` questions and some of them again; few lack a time."""
    asked = []
    for _ in range(size):
        at = generator.choice((None, *(generator.randint(-reach, reach) for _ in range(9))))
        own_id = generator.choice((None, *(generator.randint(0, 12) for _ in range(5))))
        own = random_values(generator, amounts)
        asked.append(Question(generator.choice(BUSY_KEYS), at, own_id, own))
    return asked + asked[: size // 5]


def random_values(
    generator: random.Random, amounts: Sequence[float | None]
) -> dict[str, float | int | str | None]:
    """One value for each aggregated column."""
    return {
        "amount": generator.choice(amounts),
        "level": generator.choice(LEVELS),
        "risky": generator.choice(RISKY),
        "channel": generator.choice(CHANNELS),
    }


def versions(amounts: Sequence[float | None] = AMOUNTS) -> st.SearchStrategy[list[Version]]:
    """Sparse or dense."""
    dense = st.builds(
        lambda seed, size: random_versions(random.Random(seed), size, 9, amounts),
        st.integers(0, 2**32),
        st.integers(10, 40),
    )
    return st.one_of(sparse_versions(amounts), dense)


crowded = st.builds(
    lambda seed, size: random_versions(random.Random(seed), size, 1),
    st.integers(0, 2**32),
    st.integers(10, 60),
)
"""Rows of three instants: most are known or happen at the very time of another."""

close_questions = st.builds(
    lambda seed, size, reach: random_questions(random.Random(seed), size, reach),
    st.integers(0, 2**32),
    st.integers(10, 30),
    st.sampled_from((2, 8)),
)
"""Questions at the instants of crowded rows, or soon after: few of them find nothing."""


def questions(amounts: Sequence[float | None] = AMOUNTS) -> st.SearchStrategy[list[Question]]:
    """Sparse or dense."""
    dense = st.builds(
        lambda seed, size: random_questions(random.Random(seed), size, 16, amounts),
        st.integers(0, 2**32),
        st.integers(10, 30),
    )
    return st.one_of(sparse_questions(amounts), dense)


rules = st.builds(
    WindowRule,
    st.sampled_from((0, 0, 1, 6)),
    st.sampled_from((0, 0, 1, 3)),
    st.sampled_from(("known", "event")),
    st.sampled_from(("include", "exclude")),
)


@st.composite
def aggregations(draw: st.DrawFn) -> list[AggregationPlan]:
    """One to six output columns over few windows, of functions that merge."""
    found = []
    for number in range(draw(st.integers(1, 6))):
        function = draw(st.sampled_from(MERGED))
        arguments = ("amount", "level", "risky") + ((None,) if function == "count" else ())
        found.append(
            AggregationPlan(
                f"{function}_{number}",
                function,
                draw(st.sampled_from(arguments)),
                draw(st.sampled_from((1, 2, 6, 40))),
                draw(st.sampled_from((None, None, 0, -1.5))),
            )
        )
    return found


@st.composite
def listed_aggregations(draw: st.DrawFn) -> list[AggregationPlan]:
    """One to six output columns of functions that go through the members of a window."""
    found = []
    for number in range(draw(st.integers(1, 6))):
        function = draw(st.sampled_from((*LISTED, *MERGED)))
        arguments = ["amount", "level", "risky"]
        arguments += ["channel"] if function in ("first", "last", "approx_distinct") else []
        argument = draw(st.sampled_from([*arguments, *([None] if function == "count" else [])]))
        grouped = function in MERGED
        found.append(
            AggregationPlan(
                f"{function}_{number}",
                function,
                argument,
                draw(st.sampled_from((1, 2, 6, 40))),
                place=draw(st.integers(1, 3)),
                quantile=draw(st.sampled_from((0.0, 0.3, 0.5, 0.95, 1.0))),
                by="channel" if grouped else None,
                gives=draw(st.sampled_from(("value", "group"))) if grouped else "value",
            )
        )
    return found


@st.composite
def hopping(draw: st.DrawFn) -> tuple[list[AggregationPlan], WindowRule]:
    """Aggregations of any kind with hops that divide their windows and the rule's delay."""
    rule = draw(rules)
    items = [*draw(aggregations()), *draw(listed_aggregations())]
    made = []
    for number, item in enumerate(items):
        common = math.gcd(item.window_micros, rule.delay)
        divisors = [hop for hop in range(1, common + 1) if common % hop == 0]
        hop = draw(st.sampled_from((0, *divisors)))
        made.append(replace(item, name=f"{item.name}_{number}", hop_micros=hop))
    return made, rule


def window_plan(items: Sequence[AggregationPlan], rule: WindowRule) -> WindowPlan:
    """The plan over the frames below."""
    return WindowPlan(
        spine_keys=("customer", "branch"),
        event_keys=("who", "where"),
        spine_time="at",
        aggregations=tuple(items),
        own_event_id="payment",
        own_arguments={name: f"own_{name}" for name in ("amount", "level", "risky", "channel")},
        columns=EventColumns(retracted="_retracted"),
        delay=rule.delay,
        serving_delay=rule.serving_delay,
        as_of=rule.as_of,
        request_event=rule.request_event,
    )


def spine_table(asked: Sequence[Question]) -> pa.Table:
    """Questions with a column that nobody asked for, and narrower key types than the rows'."""
    return pa.table(
        {
            "note": pa.array(
                [[place % 99, None] for place in range(len(asked))], pa.list_(pa.int8())
            ),
            "customer": pa.array([row.key[0] for row in asked], pa.int32()),
            "branch": pa.array([row.key[1] for row in asked], pa.string()),
            "at": pa.array([row.time for row in asked], pa.int64()).cast(INSTANT),
            "payment": pa.array([row.own_id for row in asked], pa.int64()),
            "own_amount": pa.array([row.own.get("amount") for row in asked], pa.float64()),
            "own_level": pa.array([row.own.get("level") for row in asked], pa.int64()),
            "own_risky": pa.array([row.own.get("risky") for row in asked], pa.bool_()),
            "own_channel": pa.array([row.own.get("channel") for row in asked], pa.string()),
        }
    )


def rows_table(rows: Sequence[Version]) -> pa.Table:
    """Versions with the system columns of gold."""
    return pa.table(
        {
            "who": pa.array([row.key[0] for row in rows], pa.int64()),
            "where": pa.array([row.key[1] for row in rows], pa.large_string()),
            "_event_id": pa.array([row.event_id for row in rows], pa.int64()),
            "_event_time": pa.array([row.event_time for row in rows], pa.int64()).cast(INSTANT),
            "_known_time": pa.array([row.known_time for row in rows], pa.int64()).cast(INSTANT),
            "_batch": pa.array([row.batch for row in rows], pa.int64()),
            "_position": pa.array([row.position for row in rows], pa.int64()),
            "_retracted": pa.array([row.retracted for row in rows], pa.bool_()),
            "amount": pa.array([row.values.get("amount") for row in rows], pa.float64()),
            "level": pa.array([row.values.get("level") for row in rows], pa.int64()),
            "risky": pa.array([row.values.get("risky") for row in rows], pa.bool_()),
            "channel": pa.array([row.values.get("channel") for row in rows], pa.large_string()),
            "place": pa.array(range(len(rows)), pa.int64()),
        }
    )
