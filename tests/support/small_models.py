"""Rows that every learner can learn from, some of their values missing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feldspar.spec.model import Learner
from feldspar.training.periods import DAY
from feldspar.training.samples import Sample

FLAVOURS: tuple[Learner, ...] = ("logistic", "forest", "boosting")


def learnable(rows: int = 600, *, seed: int = 1) -> Sample:
    """A label that depends on two of three features, one of them sometimes missing."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, 3))
    label = values[:, 0] + np.abs(values[:, 1]) + random.normal(scale=0.5, size=rows) > 1.5
    values[::11, 1] = np.nan
    features = pd.DataFrame(values, columns=["first", "second", "noise"])
    time = np.arange(rows, dtype=np.int64) * (DAY // 200)
    return Sample(features, label, np.ones(rows), time, time)
