"""Decides whether a new model becomes champion; pure, so that the decision can be read again.

Both models are judged on the same rows of the same test window, by the same figure.
"""

from __future__ import annotations

from dataclasses import dataclass

from feldspar.training.evaluate import Metric


@dataclass(frozen=True)
class Incumbent:
    """The present champion on the new test window.

    Attributes:
        version: in the registry.
        score: its figure; None when it cannot be judged there.
        lacks: features it reads that the service no longer has.
    """

    version: str
    score: float | None
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What was decided and by which figures."""

    promoted: bool
    metric: Metric
    challenger: float
    champion: float | None
    champion_version: str | None
    baseline: float
    margin: float
    reason: str


def decide(
    metric: Metric,
    challenger: float,
    *,
    incumbent: Incumbent | None,
    baseline: float,
    margin: float,
) -> Decision:
    """The decision about a new model.

    Args:
        metric: which figure.
        challenger: of the new model, on the test window.
        incumbent: the champion on the same window; None where there is none.
        baseline: what a constant answer scores there.
        margin: by how much the champion must be beaten; a tie promotes nobody.
    """
    promoted, reason = _verdict(
        challenger, incumbent=incumbent, baseline=baseline, margin=margin, metric=metric
    )
    return Decision(
        promoted=promoted,
        metric=metric,
        challenger=challenger,
        champion=None if incumbent is None else incumbent.score,
        champion_version=None if incumbent is None else incumbent.version,
        baseline=baseline,
        margin=margin,
        reason=reason,
    )


def _verdict(
    challenger: float,
    *,
    incumbent: Incumbent | None,
    baseline: float,
    margin: float,
    metric: Metric,
) -> tuple[bool, str]:
    shown = f"{metric} {challenger:.4f}"
    if challenger <= baseline:
        return False, f"{shown} does not beat a constant answer ({baseline:.4f})"
    if incumbent is None:
        return True, f"{shown} beats a constant answer ({baseline:.4f}); there is no champion yet"
    if incumbent.score is None:
        lost = ", ".join(incumbent.lacks)
        return True, f"{shown}; champion {incumbent.version} reads what the service lacks: {lost}"
    needed = incumbent.score + margin
    rival = f"champion {incumbent.version} has {incumbent.score:.4f} on the same window"
    if challenger > needed:
        return True, f"{shown}; {rival}"
    return False, f"{shown} does not exceed {needed:.4f}: {rival}"
