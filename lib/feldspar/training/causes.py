"""Why two training sets differ, as far as their manifests tell: definitions, data, code, spine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from feldspar.training.makings import Made
from feldspar.training.manifest import Manifest


@dataclass(frozen=True)
class Arrivals:
    """What a table got between the versions that two sets read.

    Attributes:
        table: ``layer.name``.
        left, right: the versions; None where a set does not read it.
        rows: how many rows lie between; None where it was rewritten, or the log does not tell.
    """

    table: str
    left: int | None
    right: int | None
    rows: int | None

    def __str__(self) -> str:
        if self.left is None or self.right is None:
            return f"{self.table} is read by one of them alone"
        between = f"between version {min(self.left, self.right)} and {max(self.left, self.right)}"
        if self.rows is None:
            return f"{self.table} was rewritten {between}"
        return f"{self.rows:,} new rows arrived in {self.table} {between}"


def different_tables(left: Manifest, right: Manifest) -> dict[str, tuple[int | None, int | None]]:
    """``layer.name`` to the versions, where the newest parts read different ones."""
    names = sorted(left.tables.keys() | right.tables.keys())
    versions = {name: (left.tables.get(name), right.tables.get(name)) for name in names}
    return {name: both for name, both in versions.items() if both[0] != both[1]}


def set_causes(
    left: Manifest, right: Manifest, arrivals: Mapping[str, Arrivals]
) -> tuple[str, ...]:
    """Everything in which the sets were made differently."""
    return tuple(_set_causes(left, right, arrivals))


def feature_causes(
    left: Manifest, right: Manifest, name: str, arrivals: Mapping[str, Arrivals]
) -> tuple[str, ...]:
    """What of it can have changed one feature; empty where nothing that manifests tell of can."""
    return tuple(_feature_causes(left, right, name, arrivals))


def _set_causes(left: Manifest, right: Manifest, arrivals: Mapping[str, Arrivals]) -> Iterator[str]:
    yield from _definitions(left, right)
    if left.as_of != right.as_of:
        yield f"as_of: {left.as_of} and {right.as_of}"
    ours, theirs = (left.time, left.event_id), (right.time, right.event_id)
    if ours != theirs:
        yield f"time and event id: {ours[0]}, {ours[1]} and {theirs[0]}, {theirs[1]}"
    yield from (str(one) for one in arrivals.values())
    if left.code != right.code:
        yield f"code: {left.code} and {right.code}"
    if (left.spine_rows, left.spine_hash) != (right.spine_rows, right.spine_hash):
        yield f"spine: {left.spine_rows:,} and {right.spine_rows:,} rows, not the same ones"
    if len(left.parts) != len(right.parts):
        yield f"parts: built in {len(left.parts)} and {len(right.parts)}"


def _definitions(left: Manifest, right: Manifest) -> Iterator[str]:
    changed = [
        name
        for name, made in left.features.items()
        if name in right.features and right.features[name].definition != made.definition
    ]
    if left.service != right.service:
        yield f"service: {left.service} and {right.service}"
    if changed:
        yield f"defined differently: {', '.join(changed)}"
    elif left.service == right.service and left.definition != right.definition:
        yield f"service {left.service} or a view of it is defined differently"


def _feature_causes(
    left: Manifest, right: Manifest, name: str, arrivals: Mapping[str, Arrivals]
) -> Iterator[str]:
    ours, theirs = _made(left, name), _made(right, name)
    if ours.definition != theirs.definition:
        yield "it is defined differently"
    if left.as_of != right.as_of:
        yield f"as_of is {left.as_of} and {right.as_of}"
    for table in sorted({*ours.tables, *theirs.tables} & arrivals.keys()):
        yield str(arrivals[table])
    if left.code != right.code:
        yield "the code differs"


def _made(manifest: Manifest, name: str) -> Made:
    """What a column was made of; one that the spine brought was made of nothing of ours."""
    return manifest.features.get(name, Made("", ()))
