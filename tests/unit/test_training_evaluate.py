"""Figures against values worked out by hand, and decisions against their rules."""

from __future__ import annotations

import numpy as np
import pytest

from feldspar.errors import InputError
from feldspar.spec.model import Learner, SearchSpec
from feldspar.training.evaluate import (
    Metrics,
    card_precision,
    constant_baseline,
    curves,
    measure,
    metric_of,
)
from feldspar.training.fit import learners
from feldspar.training.periods import DAY, Span
from feldspar.training.plots import draw
from feldspar.training.promote import Incumbent, decide
from feldspar.training.samples import Sample
from feldspar.training.tune import search
from support.small_models import FLAVOURS, learnable


def longs(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def test_a_card_counts_once_a_day_with_its_highest_score() -> None:
    share = card_precision(
        longs(0, 0, 0),
        longs(1, 1, 2),
        np.array([False, True, False]),
        scores=np.array([0.1, 0.9, 0.5]),
        cards_a_day=1,
    )

    assert share == 1.0


def test_a_card_found_on_one_day_is_not_looked_at_on_the_next() -> None:
    share = card_precision(
        longs(0, 0, 1, 1),
        longs(1, 2, 1, 2),
        np.array([True, False, True, False]),
        scores=np.array([0.9, 0.1, 0.9, 0.1]),
        cards_a_day=1,
    )

    assert share == 0.5


def test_fewer_cards_than_a_day_holds_still_divide_by_the_day() -> None:
    share = card_precision(
        longs(0), longs(1), np.array([True]), scores=np.array([0.9]), cards_a_day=4
    )

    assert share == 0.25


def test_weights_stand_for_rows_that_were_left_out() -> None:
    few = learnable(400)
    scores = few.features["first"].to_numpy()
    kept = few.label | (np.arange(len(few)) % 2 == 0)
    weighted = few.where(kept)
    weighted = Sample(
        weighted.features,
        weighted.label,
        np.where(weighted.label, 1.0, 2.0),
        weighted.time,
        weighted.known,
    )
    every_other_twice = np.concatenate([np.flatnonzero(kept), np.flatnonzero(kept & ~few.label)])
    repeated = Sample(
        few.features.iloc[every_other_twice],
        few.label[every_other_twice],
        np.ones(len(every_other_twice)),
        few.time[every_other_twice],
        few.known[every_other_twice],
    )

    ours = metric_of("average_precision", weighted, scores[kept])

    assert ours == pytest.approx(
        metric_of("average_precision", repeated, scores[every_other_twice])
    )


def test_one_class_alone_cannot_be_judged() -> None:
    alone = learnable(50)
    alone = alone.where(alone.label)

    with pytest.raises(InputError, match="rows to judge by"):
        metric_of("auc", alone, np.zeros(len(alone)))


def test_a_constant_has_the_prevalence_as_its_average_precision() -> None:
    rows = learnable(300)

    found = metric_of("average_precision", rows, np.full(len(rows), 0.3))

    assert found == pytest.approx(constant_baseline("average_precision", rows.prevalence))


@pytest.mark.parametrize("learner", FLAVOURS)
def test_every_learner_learns_with_missing_values(learner: Learner) -> None:
    rows, others = learnable(), learnable(seed=2)

    model = learners.fit(learner, learners.first(learner), rows, seed=7)

    scores = model.predict_proba(others.features)[:, 1]
    assert metric_of("auc", others, scores) > 0.75


def test_the_importance_of_noise_is_least() -> None:
    rows = learnable()
    model = learners.fit("boosting", learners.first("boosting"), rows, seed=7)
    scores = model.predict_proba(rows.features)[:, 1]

    found = curves(model, rows, scores, metric="auc")

    assert found.importance[-1][0] == "noise"


def test_plots_are_png_files() -> None:
    rows = learnable(300)
    model = learners.fit("boosting", learners.first("boosting"), rows, seed=7)
    scores = model.predict_proba(rows.features)[:, 1]
    metrics = measure(rows, scores, span=Span(0, 8 * DAY), complete=True)

    files = draw(metrics, curves(model, rows, scores, metric="auc"))

    assert all(content.startswith(b"\x89PNG") for content in files.values())


def test_the_search_tries_every_learner_whatever_the_budget() -> None:
    lines: list[str] = []
    spec = SearchSpec(budget="1s", max_trials=3)  # type: ignore[arg-type]  # text as in YAML

    found = search(
        FLAVOURS, learnable(), learnable(seed=2), spec=spec, metric="auc", progress=lines.append
    )

    assert {trial.learner for trial in found.trials} == set(FLAVOURS)


def test_equal_seeds_search_alike() -> None:
    spec = SearchSpec(budget="60s", max_trials=6)  # type: ignore[arg-type]  # text as in YAML
    rows, others = learnable(300), learnable(300, seed=2)

    runs = [
        search(("logistic",), rows, others, spec=spec, metric="auc", progress=list[str]().append)
        for _ in range(2)
    ]

    assert [one.parameters for one in runs[0].trials] == [one.parameters for one in runs[1].trials]


@pytest.mark.parametrize(
    ("challenger", "incumbent", "promoted"),
    [
        (0.30, None, True),
        (0.01, None, False),
        (0.30, Incumbent("4", 0.25), True),
        (0.30, Incumbent("4", 0.30), False),
        (0.30, Incumbent("4", 0.295), False),
        (0.30, Incumbent("4", None, ("old_feature",)), True),
        (0.01, Incumbent("4", 0.001), False),
    ],
)
def test_only_the_better_model_becomes_champion(
    challenger: float, incumbent: Incumbent | None, promoted: bool
) -> None:
    decision = decide(
        "average_precision", challenger, incumbent=incumbent, baseline=0.01, margin=0.01
    )

    assert decision.promoted is promoted


def test_metrics_without_an_answer_are_left_out() -> None:
    metrics = Metrics(0.9, 0.5, None, 0.01, 0.02, 100, 2)

    assert "card_precision_100" not in metrics.as_floats()
