"""A champion as it is asked: boosted trees are walked by compiled code.

Two hundred trees that Python calls one by one take 0.9 ms whatever the number of rows, and by
treelite 0.1 ms (2026-11, one core). It adds up in another order than scikit-learn: at most 4e-16
apart in 100,000 rows. So whoever answers for a champion, in batches or online, asks this one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import treelite
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from feldspar.compute.columns import Doubles
from feldspar.compute.scoring import Classifier, OneThreaded


def compiled(estimator: Classifier) -> Classifier:
    """The same answers; of boosted trees in a tenth of the time, of others as they are.

    Args:
        estimator: a fitted pipeline or classifier that takes a matrix.
    """
    steps = (
        [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    )
    if isinstance(steps[-1], HistGradientBoostingClassifier):
        return CompiledTrees(steps)
    return estimator


class CompiledTrees(OneThreaded):
    """Boosted trees after the steps that prepare their rows; travels as scikit-learn's own objects.

    Args:
        steps: transformers, and last the trees.
    """

    def __init__(self, steps: list[Any]) -> None:
        self._steps = steps
        self._trees = treelite.sklearn.import_model(steps[-1])

    def predict_proba(self, rows: Doubles, /) -> npt.NDArray[Any]:
        """Shape (n, 2): P(not label), P(label)."""
        for step in self._steps[:-1]:
            rows = step.transform(rows)
        positive = treelite.gtil.predict(self._trees, rows, nthread=1).reshape(-1)
        return np.column_stack([1.0 - positive, positive])

    def __reduce__(self) -> tuple[type[CompiledTrees], tuple[list[Any]]]:
        return CompiledTrees, (self._steps,)
