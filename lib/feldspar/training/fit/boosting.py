"""Gradient boosting over histograms; a missing value has a bin of its own."""

from __future__ import annotations

from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline

from feldspar.training.fit.space import LogUniform, OneOf, Parameters, Space, Whole

SPACE: Space = {
    "learning_rate": LogUniform(0.02, 0.3),
    "max_iter": Whole(40, 200, step=20),
    "max_leaf_nodes": OneOf((7, 15, 31)),
    "min_samples_leaf": OneOf((20, 50, 200)),
    "l2_regularization": LogUniform(1e-3, 30.0),
}
FIRST: Parameters = {
    "learning_rate": 0.08,
    "max_iter": 100,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 50,
    "l2_regularization": 1.0,
}

MISSING = -1e12
"""Below every value of a feature, so that missing ones share a bin with nothing else."""


def build(parameters: Parameters, *, seed: int) -> Pipeline:
    """An unfitted pipeline whose last step is called ``model``."""
    # validation is by time and elsewhere: no rows are set aside at random here
    model = HistGradientBoostingClassifier(**parameters, early_stopping=False, random_state=seed)
    # not NaN: the binner of scikit-learn 1.9 fails on a column that is missing throughout
    own_bin = SimpleImputer(strategy="constant", fill_value=MISSING, keep_empty_features=True)
    return Pipeline([("missing", own_bin), ("model", model)])
