"""Logistic regression on scaled features; what is missing becomes the median."""

from __future__ import annotations

from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from feldspar.training.fit.space import LogUniform, OneOf, Parameters, Space

SPACE: Space = {"C": LogUniform(1e-4, 10.0), "class_weight": OneOf((None, "balanced"))}
FIRST: Parameters = {"C": 1.0, "class_weight": None}


def build(parameters: Parameters, *, seed: int) -> Pipeline:
    """An unfitted pipeline whose last step is called ``model``."""
    return Pipeline(
        [
            ("fill", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("scale", StandardScaler()),
            ("model", LogisticRegression(**parameters, max_iter=300, random_state=seed)),
        ]
    )
