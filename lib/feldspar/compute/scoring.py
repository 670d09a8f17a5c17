"""What a probability is answered as, the same in batch scoring and at /score.

Scalars and whole columns go through the same numpy operations, so that one row and a million
give equal numbers. No I/O and no model here: models live behind ``stores.experiments``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol, assert_never

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from threadpoolctl import ThreadpoolController

from feldspar.compute.columns import Doubles, Longs, find
from feldspar.errors import EngineError

AnswerKind = Literal["probability", "credit_score"]
"""What ``ModelSpec.answer`` may be."""

LOWEST_SCORE, SCORE_RANGE = 300, 550
LOW_RISK_ABOVE, MEDIUM_RISK_ABOVE = 700, 600


class Classifier(Protocol):
    """A fitted model of two classes, scikit-learn's way."""

    def predict_proba(self, rows: Any, /) -> npt.NDArray[Any]:
        """Shape (n, 2): P(not label), P(label); of a frame or a matrix, as it was fitted."""


class OneThreaded:
    """A classifier that starts no threads of its own: none need be kept from it."""


@dataclass(frozen=True)
class CreditAnswer:
    """What a lender is told of one customer.

    Attributes:
        credit_score: 300 to 850, whole.
        risk_level: LOW, MEDIUM or HIGH.
        confidence: 0.5 to 1, the probability of the more likely class.
    """

    credit_score: int
    risk_level: str
    confidence: float


def credit_answer(p_good: float) -> CreditAnswer:
    """The answer for one customer who repays with probability ``p_good``.

    >>> credit_answer(0.9)
    CreditAnswer(credit_score=795, risk_level='LOW', confidence=0.9)

    Raises:
        EngineError: not a probability.
    """
    column = np.array([p_good], dtype=np.float64)
    score = credit_scores(column)
    return CreditAnswer(int(score[0]), str(risk_levels(score)[0]), float(confidences(column)[0]))


def credit_scores(p_good: Doubles) -> Longs:
    """``int(300 + 550 x P(good))``, shape (n,).

    Raises:
        EngineError: a value is no probability.
    """
    if not np.all((p_good >= 0.0) & (p_good <= 1.0)):
        wrong = p_good[~((p_good >= 0.0) & (p_good <= 1.0))][0]
        raise EngineError(f"{wrong} is not a probability; a credit score needs 0 to 1")
    return np.asarray(LOWEST_SCORE + SCORE_RANGE * p_good).astype(np.int64)


def risk_levels(scores: Longs) -> npt.NDArray[np.str_]:
    """LOW above 700, MEDIUM above 600, else HIGH; shape (n,)."""
    levels = np.where(scores > MEDIUM_RISK_ABOVE, "MEDIUM", "HIGH")
    return np.where(scores > LOW_RISK_ABOVE, "LOW", levels)


def confidences(probability: Doubles) -> Doubles:
    """The probability of the more likely class, 0.5 to 1, shape (n,)."""
    return np.maximum(probability, 1.0 - probability)


def answer_columns(kind: AnswerKind, probability: Doubles) -> dict[str, npt.NDArray[np.generic]]:
    """The columns a model's answer has, by the model's ``answer``, each of shape (n,).

    Args:
        kind: ``ModelSpec.answer``.
        probability: P(label), shape (n,).
    """
    match kind:
        case "probability":
            return {"probability": probability, "confidence": confidences(probability)}
        case "credit_score":
            scores = credit_scores(probability)
            return {
                "credit_score": scores,
                "risk_level": risk_levels(scores),
                "confidence": confidences(probability),
                "probability": probability,
            }
        case _:
            assert_never(kind)


def model_input(features: pa.Table, names: Sequence[str]) -> Doubles:
    """The columns a model reads, in its order, shape (n, inputs); null is NaN, true is 1.

    Args:
        features: at least the columns ``names``, any other column is ignored.
        names: the model's inputs.

    Raises:
        EngineError: a column is absent or is not a number.
    """
    for name in names:
        find(features, name)
    chosen = features.select(names)
    for place, field in enumerate(chosen.schema):
        if pa.types.is_boolean(field.type) or pa.types.is_null(field.type):
            numbers = chosen.column(place).cast(pa.float64())
            chosen = chosen.set_column(place, field.name, numbers)
        elif not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            text = f"feature {field.name!r} is {field.type}; models take numbers and yes/no"
            raise EngineError(text, hint="derive a number from it in conf/views")
    if not chosen.num_rows:
        return np.empty((0, len(names)))
    parts = [one.to_tensor(null_to_nan=True).to_numpy() for one in chosen.to_batches()]
    return np.concatenate(parts).astype(np.float64, copy=False)


def probabilities(estimator: Classifier, rows: Any) -> Doubles:
    """P(label) of each row, shape (n,); one row alone and the same row among many agree.

    The last bits of a matrix product depend on how many rows it has: twelve digits are kept.

    Args:
        estimator: fitted.
        rows: shape (n, inputs): a frame where it was fitted on one, a matrix for a champion.
    """
    if len(rows) == 0:
        return np.empty(0, dtype=np.float64)
    # to look at OpenMP's pools and back costs a lone request 17 us
    with nullcontext() if isinstance(estimator, OneThreaded) else one_thread():
        answers = np.asarray(estimator.predict_proba(rows), dtype=np.float64)
    return np.round(answers[:, 1], 12)


def one_thread() -> AbstractContextManager[object]:
    """Keeps OpenMP to this thread: on a busy machine its threads spin for one another.

    Measured on 2 busy cores, boosting on 200,000 rows: 30 s of CPU with two threads, 2 s with one.
    """
    limit: AbstractContextManager[object] = _thread_pools().limit(limits=1, user_api="openmp")
    return limit


@cache
def _thread_pools() -> ThreadpoolController:
    """Looking for the libraries costs a millisecond: once."""
    return ThreadpoolController()
