"""What an audit found, feature by feature, and the words for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from feldspar.monitor.audit.hypotheses import (
    FUNCTION,
    INPUTS,
    LATER,
    MISSING,
    ORDER,
    TTL,
    WINDOW,
    ZONE,
)
from feldspar.names import REQUEST
from feldspar.times import format_duration, parse_duration

MOST_STALE = 0.01
"""Share of a feature's values that may be stale before an audit fails."""
LATE = "late row"
UNKNOWN = "unknown"
_ORDER = (INPUTS, TTL, MISSING, ORDER, ZONE, WINDOW, FUNCTION)
"""Of two causes that explain as many values the first is told."""


@dataclass(frozen=True)
class Count:
    """How many marks of a kind there are, and one or two of them in words."""

    rows: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureFindings:
    """One feature of a service.

    Attributes:
        feature: output column.
        view: whose; empty for what is computed, "request" for a column of the request that is held
            against the event's row.
        compared: values held against gold at the cursor that was served.
        different: of them differ.
        cause: what most likely is the matter: the name of a fault, then how much; empty where
            nothing is.
        stale: values that gold, as it is now, says were known otherwise by T.
        late: at most so late; None where nothing is stale, or it is later than a week.
        examples: up to two differences, or stale values, in words.
    """

    feature: str
    view: str
    compared: int
    different: int = 0
    cause: str = ""
    stale: int = 0
    late: timedelta | None = None
    examples: tuple[str, ...] = ()

    @property
    def stale_share(self) -> float:
        """Of the values that were compared."""
        return self.stale / self.compared if self.compared else 0.0

    @property
    def fails(self) -> bool:
        """Whether somebody must look at it."""
        return bool(self.different) or self.stale_share > MOST_STALE


@dataclass(frozen=True)
class ServiceAudit:
    """What an audit of one service's log found.

    Attributes:
        service: its name.
        served: answers in the log that were asked for.
        degraded: of them without Redis, which are not compared.
        other: of them by another definition of the service, which are not compared.
        audited: of them replayed.
        in_flight: by view, answers from values of a push that had not set its cursor yet.
        gone: by view, versions of gold that cannot be read any more, and how many answers name
            them.
        features: every output that gold or a computation makes.
    """

    service: str
    served: int = 0
    degraded: int = 0
    other: int = 0
    audited: int = 0
    in_flight: Mapping[str, int] = field(default_factory=dict)
    gone: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    features: tuple[FeatureFindings, ...] = ()

    @property
    def fails(self) -> bool:
        """Whether a value differs, or too many are stale."""
        return any(one.fails for one in self.features)


Found = Mapping[tuple[str, str, str], Count]
"""Feature, kind and label of marks, and how many there are."""


def feature_findings(
    found: Found, outputs: Sequence[tuple[str, str]], *, audited: int
) -> tuple[FeatureFindings, ...]:
    """A line for each output.

    Args:
        found: counted marks.
        outputs: output column and the view that it is of; computed ones of none.
        audited: how many answers were replayed.
    """
    whole = _explained(found)
    return tuple(
        _feature(name, view, found, whole=whole, audited=audited) for name, view in outputs
    )


def _feature(
    name: str, view: str, found: Found, *, whole: Mapping[str, int], audited: int
) -> FeatureFindings:
    gone = sum(one.rows for _, one in _of(found, view or name, "gone"))
    different = found.get((name, "different", ""), Count())
    stale = found.get((name, "stale", ""), Count())
    cause = _cause(name, found, whole=whole) if different.rows else ""
    late = _latest(label for label, _ in _of(found, name, "age"))
    if stale.rows and not cause:
        cause = LATE
    return FeatureFindings(
        feature=name,
        view=view,
        compared=audited - gone,
        different=different.rows,
        cause=cause,
        stale=stale.rows,
        late=late,
        examples=different.examples or stale.examples,
    )


def _of(found: Found, feature: str, kind: str) -> Iterator[tuple[str, Count]]:
    for (name, what, label), count in found.items():
        if (name, what) == (feature, kind):
            yield label, count


def _explained(found: Found) -> dict[str, int]:
    """By cause, how many values of all features it explains: a wrong zone shows in many views."""
    whole: dict[str, int] = {}
    for (_, kind, label), count in found.items():
        if kind == "cause":
            whole[label] = whole.get(label, 0) + count.rows
    return whole


def _cause(name: str, found: Found, *, whole: Mapping[str, int]) -> str:
    diagnosed = found.get((name, "diagnosed", ""), Count()).rows
    causes = [(label, count.rows) for label, count in _of(found, name, "cause")]
    if not causes:
        return UNKNOWN
    label, rows = min(causes, key=lambda one: (-one[1], -whole[one[0]], _place(one[0]), one[0]))
    # a chance hit is no cause
    return label if 2 * rows >= diagnosed else UNKNOWN


def _place(label: str) -> int:
    return next(place for place, name in enumerate(_ORDER) if label.startswith(name))


def _latest(labels: Iterable[str]) -> timedelta | None:
    found = list(labels)
    if not found or LATER in found:
        return None
    return max(parse_duration(label) for label in found)


def cause_text(one: FeatureFindings) -> str:
    """A cause as a sentence.

    >>> cause_text(FeatureFindings("spend__count_7d", "spend", 9, 3, "window 6d"))
    'window: the values are those of a window of 6d'
    """
    name, _, rest = (
        one.cause.rpartition(" ")
        if one.cause.startswith((WINDOW, ZONE))
        else (
            one.cause,
            "",
            "",
        )
    )
    late = "more than 7d" if one.late is None else f"up to {format_duration(one.late)}"
    texts = {
        INPUTS: "features that it is made of differ",
        TTL: "rows that had run out were served, or others taken for run out",
        MISSING: "Redis had nothing of the entity: never pushed, expired or lost",
        ORDER: "Redis held an older value than the push had written: overwritten, or never written",
        ZONE: f"the values are those of {rest} hours from T",
        WINDOW: f"the values are those of a window of {rest}",
        FUNCTION: "the function gave another value for equal inputs",
        LATE: f"known by T, and not pushed by then; {late} later than serving_delay says",
        REQUEST: "requests said another value than the rows that arrived of their events",
        UNKNOWN: "nothing that was tried gives what was served",
    }
    return f"{name}: {texts[name]}" if name else ""


def lines(audit: ServiceAudit) -> Iterator[str]:
    """What people are told of an audit."""
    yield (
        f"{audit.service}: {audit.served:,} answers, {audit.audited:,} replayed, "
        f"{audit.degraded:,} without Redis, {audit.other:,} by another definition"
    )
    for view, rows in audit.in_flight.items():
        yield f"  {view}: {rows:,} answers from values of a push that was on its way"
    for view, versions in audit.gone.items():
        shown = ", ".join(str(version) for version in sorted(versions)[:5])
        more = ", ..." if len(versions) > 5 else ""
        yield (
            f"  {view}: {sum(versions.values()):,} answers are not compared: gold can no longer "
            f"be read at version {shown}{more}; vacuum with a longer --retain"
        )
    for one in audit.features:
        yield from _feature_lines(one)


def _feature_lines(one: FeatureFindings) -> Iterator[str]:
    if not one.different and not one.stale:
        return
    text = f"  {one.feature}: {one.different:,} of {one.compared:,} differ"
    text += f", {one.stale:,} stale ({one.stale_share:.2%})"
    yield text
    yield f"    {cause_text(one)}"
    yield from (f"    {example}" for example in one.examples)
