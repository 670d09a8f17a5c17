"""The online fold of one entity against the oracle, from packed values as they lie in the store."""

from __future__ import annotations

from hypothesis import given, settings

from feldspar.compute.windows.arrow import add_windows
from feldspar.compute.windows.online import OnlineFold, OwnEvent
from feldspar.spec.types import ColumnType
from feldspar.stores.events import PackedEvents, StoredEvents, pack_events
from feldspar.stores.rows import Layout
from property import frames, oracle
from property.closeness import difference

LAYOUT = Layout(
    "view",
    "events",
    (
        ("amount", ColumnType.DOUBLE),
        ("level", ColumnType.BIGINT),
        ("risky", ColumnType.BOOLEAN),
        ("channel", ColumnType.STRING),
    ),
)


def events_of(rows: list, key: oracle.Key) -> StoredEvents:
    """The rows as an entity's events.

    An event that moved to another entity left a retracted version behind when it was pushed.
    """
    return StoredEvents(
        [row.event_id for row in rows],
        [row.event_time for row in rows],
        [row.known_time for row in rows],
        [row.batch for row in rows],
        [row.position for row in rows],
        [row.retracted or row.key != key for row in rows],
        {name: [row.values[name] for row in rows] for name, _ in LAYOUT.columns},
    )


def stored(rows: list, key: oracle.Key) -> PackedEvents:
    """What the store holds of an entity."""
    return PackedEvents(LAYOUT, pack_events(LAYOUT, events_of(rows, key), epoch=1, version=1))


def differences(asked: list, rows: list, items: list, rule) -> list[str]:
    found = []
    fold = OnlineFold(items, rule)
    for question in asked:
        if None in question.key or question.time is None:
            continue
        own = None if question.own_id is None else OwnEvent(question.own_id, question.own)
        answers = fold.fold(stored(rows, question.key), question.time, own)
        for item in items:
            expected = oracle.window(question, rows, item, rule)
            pool = [row.values for row in rows] + [question.own]
            wrong = difference(item, answers[item.name], expected, pool)
            found += [f"{question}: {wrong}"] if wrong else []
    return found


def of_one_entity(rows: list) -> list:
    """The rows whose events have one version each: windows are slices of what is stored."""
    first = {row.event_id: row for row in reversed(rows) if row.event_id is not None}
    return [
        row
        for row in rows
        if row.key == frames.KEYS[0]
        and not row.retracted
        and (row.event_id is None or first[row.event_id] is row)
    ]


@settings(max_examples=frames.CASES, deadline=None)
@given(frames.questions(), frames.versions(), frames.aggregations(), frames.rules)
def test_every_answer_is_the_oracles(asked, rows, items, rule) -> None:
    assert differences(asked, rows, items, rule) == []


@settings(max_examples=frames.CASES, deadline=None)
@given(frames.questions(), frames.versions(), frames.aggregations(), frames.rules)
def test_every_answer_from_single_versions_is_the_oracles(asked, rows, items, rule) -> None:
    kept = of_one_entity(rows)
    mine = [question for question in asked if question.key == frames.KEYS[0]]
    assert differences(mine, kept, items, rule) == []


@settings(max_examples=frames.CASES, deadline=None)
@given(frames.questions(), frames.versions(), frames.listed_aggregations(), frames.rules)
def test_every_listed_answer_is_the_oracles(asked, rows, items, rule) -> None:
    assert differences(asked, rows, items, rule) == []


@settings(max_examples=frames.CASES, deadline=None)
@given(frames.questions(), frames.versions(), frames.hopping())
def test_edges_on_a_raster_are_the_oracles(asked, rows, hopping) -> None:
    items, rule = hopping
    assert differences(asked, rows, items, rule) == []


@settings(max_examples=frames.CASES // 3, deadline=None)
@given(
    frames.questions(frames.WILD),
    frames.versions(frames.WILD),
    frames.listed_aggregations(),
    frames.rules,
)
def test_both_engines_say_the_same(asked, rows, items, rule) -> None:
    plan = frames.window_plan(items, rule)
    answers = add_windows(frames.spine_table(asked), frames.rows_table(rows), plan)
    fold = OnlineFold(items, rule)
    for place, question in enumerate(asked):
        if None in question.key or question.time is None:
            continue
        own = None if question.own_id is None else OwnEvent(question.own_id, question.own)
        online = fold.fold(stored(rows, question.key), question.time, own)
        batch = {item.name: answers[item.name][place].as_py() for item in items}
        assert repr(same_zeros(online)) == repr(same_zeros(batch))


def same_zeros(answers: dict) -> dict:
    """The sign of a zero means nothing; 1, 1.0 and true are told apart by the column's type."""
    plain = (str, type(None))
    return {
        name: value if isinstance(value, plain) else float(value) + 0.0
        for name, value in sorted(answers.items())
    }


@settings(max_examples=frames.CASES // 3, deadline=None)
@given(
    frames.questions(frames.WILD), frames.versions(frames.WILD), frames.aggregations(), frames.rules
)
def test_nan_and_infinity_follow_ieee(asked, rows, items, rule) -> None:
    assert differences(asked, rows, items, rule) == []
