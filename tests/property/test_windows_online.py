"""The online fold of one entity against the oracle."""

from __future__ import annotations

from hypothesis import given, settings

from feldspar.compute.windows.online import Event, OwnEvent, fold_one
from property import frames, oracle
from property.closeness import difference


def answers_of(question: oracle.Question, rows: list, items: list, rule) -> dict:
    """What the online engine says, given the entity's own rows.

    An event that moved to another entity left a retracted version behind when it was pushed.
    """
    stored = [
        Event(
            row.event_id,
            row.event_time,
            row.known_time,
            row.batch,
            row.position,
            row.values,
            row.retracted or row.key != question.key,
        )
        for row in rows
    ]
    own = None if question.own_id is None else OwnEvent(question.own_id, question.own)
    return fold_one(stored, question.time, items, rule=rule, own=own)


def differences(asked: list, rows: list, items: list, rule) -> list[str]:
    found = []
    for question in asked:
        if None in question.key or question.time is None:
            continue
        answers = answers_of(question, rows, items, rule)
        for item in items:
            expected = oracle.window(question, rows, item, rule)
            pool = [row.values for row in rows] + [question.own]
            wrong = difference(item, answers[item.name], expected, pool)
            found += [f"{question}: {wrong}"] if wrong else []
    return found


@settings(max_examples=frames.CASES, deadline=None)
@given(frames.questions(), frames.versions(), frames.aggregations(), frames.rules)
def test_every_answer_is_the_oracles(asked, rows, items, rule) -> None:
    assert differences(asked, rows, items, rule) == []


@settings(max_examples=frames.CASES // 3, deadline=None)
@given(
    frames.questions(frames.WILD), frames.versions(frames.WILD), frames.aggregations(), frames.rules
)
def test_nan_and_infinity_follow_ieee(asked, rows, items, rule) -> None:
    assert differences(asked, rows, items, rule) == []
