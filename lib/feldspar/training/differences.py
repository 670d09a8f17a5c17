"""``feldspar training-set diff``: what changed between two training sets, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from feldspar.errors import InputError, StoreError
from feldspar.stores.tables import log
from feldspar.stores.tables.spark import SparkTables
from feldspar.training.causes import Arrivals, different_tables, feature_causes, set_causes
from feldspar.training.compare import Compared, Count, Example, Matching, compare
from feldspar.training.held import HeldSet, open_set

UNKNOWN = "nothing that the manifests tell of"


@dataclass(frozen=True)
class ChangedFeature:
    """A feature with other values in rows that both sets have.

    Attributes:
        name: its column.
        rows: in how many of them.
        causes: what can have changed it.
        examples: the earliest and the latest row.
    """

    name: str
    rows: int
    causes: tuple[str, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Difference:
    """Two training sets side by side.

    Attributes:
        left, right: their names with versions.
        causes: in what they were made differently.
        both: rows whose spine columns are in both.
        only_left, only_right: rows of one alone.
        columns_left, columns_right: columns of one alone.
        features: those that differ in rows of both.
    """

    left: str
    right: str
    causes: tuple[str, ...]
    both: int
    only_left: Count
    only_right: Count
    columns_left: tuple[str, ...]
    columns_right: tuple[str, ...]
    features: tuple[ChangedFeature, ...]

    @property
    def equal(self) -> bool:
        """Whether they hold the same rows with the same values."""
        alone = (self.only_left.rows, self.only_right.rows)
        return not (any(alone) or self.columns_left or self.columns_right or self.features)

    def lines(self) -> Iterator[str]:
        """What there is to say, for people."""
        yield f"{self.left} and {self.right} {'are equal' if self.equal else 'differ'}"
        yield from _listed("made differently:", self.causes)
        for name, columns in ((self.left, self.columns_left), (self.right, self.columns_right)):
            yield from [f"columns of {name} alone: {', '.join(columns)}"] if columns else []
        yield f"rows in both: {self.both:,}"
        for name, count in ((self.left, self.only_left), (self.right, self.only_right)):
            examples = [f"e.g. {one.row}" for one in count.examples]
            yield from _listed(f"rows of {name} alone: {count.rows:,}", examples, always=count.rows)
        for one in self.features:
            yield f"{one.name}: {one.rows:,} of the rows in both"
            yield f"  because: {'; '.join(one.causes)}"
            yield from (f"  e.g. {each.row}: {each.left} and {each.right}" for each in one.examples)


def difference(left: str, right: str, tables: SparkTables) -> Difference:
    """Compares two training sets, or two versions of one.

    Args:
        left: ``training.NAME`` or ``training.NAME@VERSION``.
        right: the same.
        tables: the lake.

    Raises:
        UsageError: a name has another form.
        TableNotFoundError: there is no such table.
        InputError: a table carries no manifest, or the rows have no columns to be matched by.
    """
    ours, theirs = open_set(tables, left), open_set(tables, right)
    arrivals = {
        name: _arrivals(tables, name, versions)
        for name, versions in different_tables(ours.manifest, theirs.manifest).items()
    }
    compared = compare(ours.rows, theirs.rows, _matching(ours, theirs))
    return Difference(
        left=ours.name,
        right=theirs.name,
        causes=set_causes(ours.manifest, theirs.manifest, arrivals),
        both=compared.both,
        only_left=compared.left,
        only_right=compared.right,
        columns_left=_alone(ours, theirs),
        columns_right=_alone(theirs, ours),
        features=tuple(_changed(ours, theirs, compared, arrivals)),
    )


def _matching(ours: HeldSet, theirs: HeldSet) -> Matching:
    shared = tuple(one for one in ours.spine_columns if one in theirs.spine_columns)
    manifest = ours.manifest
    wanted = (*manifest.keys, manifest.time)
    lacking = [one for one in wanted if one not in shared]
    if lacking:
        raise InputError(
            f"the rows of {ours.name} and {theirs.name} cannot be matched: "
            f"{', '.join(lacking)} is not in both spines",
            hint=f"{theirs.name} has {', '.join(theirs.spine_columns)}",
        )
    ident = [manifest.event_id] if manifest.event_id in shared else []
    return Matching(
        spine=shared,
        features=tuple(
            one for one in ours.rows.columns if one in theirs.rows.columns and one not in shared
        ),
        time=manifest.time,
        shown=tuple(str(one) for one in dict.fromkeys([*ident, *wanted])),
    )


def _changed(
    ours: HeldSet, theirs: HeldSet, compared: Compared, arrivals: dict[str, Arrivals]
) -> Iterator[ChangedFeature]:
    for name, count in compared.features.items():
        causes = feature_causes(ours.manifest, theirs.manifest, name, arrivals)
        yield ChangedFeature(name, count.rows, causes or (UNKNOWN,), count.examples)


def _arrivals(tables: SparkTables, name: str, versions: tuple[int | None, int | None]) -> Arrivals:
    left, right = versions
    if left is None or right is None:
        return Arrivals(name, left, right, None)
    after, upto = sorted((left, right))
    layer, _, table = name.partition(".")
    uri = tables.lake.uri(layer, table)
    try:
        # tells whether files were only added
        log.added_files(tables.lake.storage, uri, after=after, upto=upto)
        rows = log.rows_between(tables.lake, layer, table, after=after, upto=upto)
    except StoreError:
        return Arrivals(name, left, right, None)
    return Arrivals(name, left, right, rows)


def _alone(one: HeldSet, other: HeldSet) -> tuple[str, ...]:
    return tuple(name for name in one.rows.columns if name not in other.rows.columns)


def _listed(title: str, lines: Sequence[str], *, always: int = 0) -> Iterator[str]:
    if lines or always:
        yield title
        yield from (f"  {line}" for line in lines)
