"""Answers made of probabilities: scalars and columns alike."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from feldspar.compute.scoring import (
    answer_columns,
    credit_answer,
    credit_scores,
    model_input,
    risk_levels,
)
from feldspar.compute.services.online import Answer, Answers
from feldspar.errors import EngineError


@pytest.mark.parametrize(
    ("p_good", "score", "level"),
    [
        (0.0, 300, "HIGH"),
        (1.0, 850, "LOW"),
        (0.7273, 700, "MEDIUM"),
        (0.7291, 701, "LOW"),
        (0.5456, 600, "HIGH"),
        (0.5474, 601, "MEDIUM"),
    ],
)
def test_a_credit_score_and_its_risk(p_good: float, score: int, level: str) -> None:
    answer = credit_answer(p_good)

    assert (answer.credit_score, answer.risk_level) == (score, level)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(EngineError, match="not a probability"):
        credit_answer(wrong)


def test_columns_answer_as_single_values_do() -> None:
    values = np.linspace(0, 1, 1_001)

    alone = [credit_answer(float(value)) for value in values]

    scores = credit_scores(values)
    both = list(zip(scores.tolist(), risk_levels(scores).tolist(), strict=True))
    assert both == [(one.credit_score, one.risk_level) for one in alone]


def test_the_probability_of_fraud_is_never_a_credit_score() -> None:
    assert "credit_score" not in answer_columns("probability", np.array([0.2]))


def test_models_read_numbers_with_missing_values_as_nan() -> None:
    table = pa.table(
        {"flag": [True, None], "count": pa.array([None, 3], pa.int32()), "x": ["a", "b"]}
    )

    rows = model_input(table, ["count", "flag"])

    np.testing.assert_array_equal(rows, [[np.nan, 1.0], [3.0, np.nan]])


def test_text_is_refused_with_the_features_name() -> None:
    with pytest.raises(EngineError, match="'channel' is string"):
        model_input(pa.table({"channel": ["pos"]}), ["channel"])


def test_answers_are_read_by_models_as_their_columns_are() -> None:
    table = pa.table(
        {
            "flag": [True, None, False],
            "count": pa.array([None, 3, 2**40], pa.int64()),
            "share": [0.25, None, -1e300],
            "channel": ["pos", "atm", None],
        }
    )
    each = tuple(Answer(row, True, (), (), {}, 0) for row in table.to_pylist())
    answers = Answers(each, frozenset({"flag", "count", "share"}), lambda: table)

    for names in (["share", "flag"], ["count"], ["flag", "count", "share"]):
        found = answers.model_input(names, [2, 0])
        expected = model_input(table.take([2, 0]), names)
        np.testing.assert_array_equal(found, expected, strict=True)
    with pytest.raises(EngineError, match="'channel' is string"):
        answers.model_input(["share", "channel"], [0])
