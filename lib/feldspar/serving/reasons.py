"""Why a score is what it is: what each feature moved it by, compared with not knowing it.

One more row a feature, with that feature unknown, through the same model in one call. This is
occlusion (Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks",
section 3.2) with "unknown" as the neutral value, which every champion can take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feldspar.compute.columns import Doubles
from feldspar.compute.scoring import probabilities
from feldspar.stores.experiments import Champion


@dataclass(frozen=True)
class Reason:
    """One feature that moved a score.

    Attributes:
        feature: its column.
        value: what it was.
        moved: P(label) less what it would be if the feature were unknown.
    """

    feature: str
    value: float
    moved: float

    @property
    def text(self) -> str:
        """In words."""
        way = "raised" if self.moved > 0 else "lowered"
        name = self.feature.replace("__", ".")
        return f"{name} = {self.value:.6g} {way} the probability by {abs(self.moved):.3f}"


def reasons(
    champion: Champion, rows: Doubles, probability: Doubles, *, most: Sequence[int]
) -> list[tuple[Reason, ...]]:
    """The features that moved each score most, the strongest first.

    Args:
        champion: whose scores they are.
        rows: shape (n, inputs), what it read.
        probability: P(label) of each row, shape (n,).
        most: how many reasons of each row, shape (n,); 0: none.
    """
    if not any(most):
        return [()] * len(rows)
    return [
        _of(champion, rows[place], float(probability[place]), wanted) if wanted else ()
        for place, wanted in enumerate(most)
    ]


def _of(champion: Champion, values: Doubles, p: float, most: int) -> tuple[Reason, ...]:
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return ()
    without = np.tile(values, (len(known), 1))
    without[np.arange(len(known)), known] = np.nan
    moved = p - probabilities(champion.estimator, without)
    strongest = np.argsort(-np.abs(moved), kind="stable")[:most]
    return tuple(
        Reason(champion.inputs[known[place]], float(values[known[place]]), float(moved[place]))
        for place in strongest
        if moved[place] != 0.0
    )
