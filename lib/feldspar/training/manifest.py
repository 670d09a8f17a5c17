"""The manifest of a training set: what it was made of, kept with the rows in one commit."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from feldspar.compute.windows.functions import AsOf
from feldspar.errors import InputError
from feldspar.training.makings import Made

_HASHES = 2**64


@dataclass(frozen=True)
class Part:
    """The rows that one build added.

    Attributes:
        spine_rows: how many.
        spine_hash: sum of their hashes.
        tables: ``layer.name`` to the Delta version read.
        code: version of the platform and hash of its source.
        created: ISO 8601, UTC.
    """

    spine_rows: int
    spine_hash: str
    tables: Mapping[str, int]
    code: str
    created: str


@dataclass(frozen=True)
class Manifest:
    """What a training set was made of.

    Attributes:
        service: its name.
        definition: fingerprint of the service with all its views.
        features: each column that was added to the spine, and what it is made of.
        keys: columns that hold the entities' keys.
        code: version of the platform and hash of its source, at the newest part.
        as_of: ``known`` or ``event``.
        time: the spine's time column.
        event_id: the spine's event id, if its rows are events.
        spine_rows: rows of the spine, of all parts.
        spine_hash: sum of the rows' hashes, so that their order does not matter.
        tables: ``layer.name`` to the Delta version that the newest part read.
        created: ISO 8601, UTC, of the newest part.
        parts: what was built at first and by each extension, oldest first.
    """

    service: str
    definition: str
    features: Mapping[str, Made]
    keys: tuple[str, ...]
    code: str
    as_of: AsOf
    time: str
    event_id: str | None
    spine_rows: int
    spine_hash: str
    tables: Mapping[str, int]
    created: str
    parts: tuple[Part, ...] = ()

    def whole(self) -> Manifest:
        """The same, built in one part."""
        one = Part(self.spine_rows, self.spine_hash, self.tables, self.code, self.created)
        return replace(self, parts=(one,))

    def reading(self, table: str, version: int) -> Manifest:
        """The same with one more table that was read."""
        return replace(self, tables={**self.tables, table: version}).whole()

    def extended(self, newer: Manifest) -> Manifest:
        """The manifest of this set with the rows of another, built later of other spine rows."""
        total = (int(self.spine_hash, 16) + int(newer.spine_hash, 16)) % _HASHES
        return replace(
            newer,
            spine_rows=self.spine_rows + newer.spine_rows,
            spine_hash=hash_text(total),
            tables={**self.tables, **newer.tables},
            parts=(*self.parts, *newer.parts),
        )

    def as_json(self) -> str:
        """JSON text with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str, *, name: str) -> Manifest:
        """The manifest that ``as_json`` wrote.

        Args:
            text: what stands in the commit.
            name: of the set, for messages.

        Raises:
            InputError: the text is something else.
        """
        try:
            found: dict[str, Any] = json.loads(text)
            features = {column: Made(one["definition"], tuple(one["tables"])) for column, one in
                        found.pop("features").items()}  # fmt: skip
            parts = tuple(Part(**one) for one in found.pop("parts"))
            keys = tuple(found.pop("keys"))
            return Manifest(**found, features=features, keys=keys, parts=parts)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{name} has no manifest: it is no training set, or one of an older version",
                hint="build it again: feldspar training-set SERVICE --spine SPINE --out "
                f"{name.partition('@')[0]}",
            ) from error


def hash_text(total: int) -> str:
    """The sum of rows' hashes, modulo 2^64, as hex digits."""
    return f"{total % _HASHES:016x}"


def code_version() -> str:
    """The platform's version and a hash of its source, e.g. ``0.1.0+3f2a...``."""
    try:
        number = version("feldspar")
    except PackageNotFoundError:
        number = "0"
    found = importlib.util.find_spec("feldspar")
    folders = found.submodule_search_locations if found is not None else None
    digest = hashlib.sha256()
    for folder in folders or ():
        for file in sorted(Path(folder).rglob("*.py")):
            digest.update(file.relative_to(folder).as_posix().encode())
            digest.update(file.read_bytes())
    return f"{number}+{digest.hexdigest()[:12]}"
