"""Champions as they are asked: the same answers as scikit-learn's, one by one and together."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from feldspar.compute.columns import Doubles
from feldspar.compute.scoring import Classifier, probabilities
from feldspar.compute.trees import CompiledTrees, compiled
from feldspar.training.fit import boosting

PARAMETERS = {**boosting.FIRST, "max_iter": 60}


@pytest.fixture(scope="module")
def rows() -> Doubles:
    random = np.random.default_rng(5)
    found = random.gamma(2.0, 10.0, (3_000, 12))
    found[random.random(found.shape) < 0.1] = np.nan
    found[:, 3] = np.round(found[:, 3])
    return found


@pytest.fixture(scope="module", params=["pipeline", "alone"])
def fitted(rows: Doubles, request: pytest.FixtureRequest) -> Classifier:
    label = np.nansum(rows, axis=1) > 200
    pipeline: Pipeline = boosting.build(PARAMETERS, seed=3)
    if request.param == "alone":
        alone: HistGradientBoostingClassifier = pipeline.steps[-1][1]
        return alone.fit(rows, label)
    return pipeline.fit(rows, label)


def test_answers_are_those_of_scikit_learn(fitted: Classifier, rows: Doubles) -> None:
    found = compiled(fitted)

    assert isinstance(found, CompiledTrees)
    np.testing.assert_allclose(
        found.predict_proba(rows), fitted.predict_proba(rows), rtol=0, atol=1e-14
    )


def test_edges_of_the_trees_go_the_same_way(fitted: Classifier, rows: Doubles) -> None:
    thresholds = np.unique(rows[:300][~np.isnan(rows[:300])])
    edges = np.concatenate([thresholds, np.nextafter(thresholds, np.inf), [0.0, -0.0, 1e300]])
    asked = np.repeat(edges[:, None], rows.shape[1], axis=1)

    np.testing.assert_allclose(
        compiled(fitted).predict_proba(asked), fitted.predict_proba(asked), rtol=0, atol=1e-14
    )


def test_one_row_is_answered_as_it_is_among_many(fitted: Classifier, rows: Doubles) -> None:
    found = compiled(fitted)
    alone = [probabilities(found, rows[place : place + 1])[0] for place in range(40)]

    np.testing.assert_array_equal(probabilities(found, rows)[:40], alone)


def test_it_travels_to_another_process(fitted: Classifier, rows: Doubles) -> None:
    found = compiled(fitted)
    there = pickle.loads(pickle.dumps(found))

    np.testing.assert_array_equal(there.predict_proba(rows), found.predict_proba(rows))


def test_other_models_stay_as_they_are(rows: Doubles) -> None:
    known = np.nan_to_num(rows)
    model = LogisticRegression().fit(known, known[:, 0] > 20)

    assert compiled(model) is model
