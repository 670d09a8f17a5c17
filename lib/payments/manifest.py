"""The manifest of a generated folder: what was asked, what was written, what was planted.

It is written last, so a folder without one, or whose files differ from it, is unfinished.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from feldspar.errors import InputError
from payments.options import GeneratorOptions

NAME = "manifest.json"


@dataclass(frozen=True, order=True)
class GeneratedFile:
    """A finished file.

    Attributes:
        path: below the folder, with forward slashes.
        rows: lines without the header, broken ones too.
        bytes: size of the file.
    """

    path: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a folder of generated data holds.

    Attributes:
        options: all options, derived counts filled in.
        files: in the order of their paths.
        rows: rows for each source, the sum over its files.
        malformed: for each source that has any, the number of broken rows of each kind.
        duplicates: payments delivered a second time, the same to the byte.
        corrections: payments followed by a version with another amount.
        late: sound payments that arrived an hour or more after they happened.
        frauds: sound payments (first deliveries) of each scenario, "1" to "3".
    """

    options: Mapping[str, int | float | str]
    files: tuple[GeneratedFile, ...]
    rows: Mapping[str, int]
    malformed: Mapping[str, Mapping[str, int]]
    duplicates: int
    corrections: int
    late: int
    frauds: Mapping[str, int]

    def describes(self, folder: Path, options: GeneratorOptions) -> bool:
        """Whether the folder has every file in full, made with the same options."""
        return dict(self.options) == options.as_json() and all(
            (folder / file.path).is_file() and (folder / file.path).stat().st_size == file.bytes
            for file in self.files
        )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Puts the manifest into the folder in one step; the data files must be complete."""
    temporary = folder / f".{NAME}.tmp"
    temporary.write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n")
    temporary.replace(folder / NAME)


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest; None if it is not there.

    Raises:
        InputError: the file is there but is no manifest.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text())
        files = tuple(GeneratedFile(**file) for file in values.pop("files"))
        return Manifest(files=files, **values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} is not the manifest of generated data: {error}",
            hint=f"delete {path} and generate again",
        ) from error
