"""A test of a view in YAML: rows in, features at a time out (``<view>.test.yaml``).

Run by ``feldspar test``; what a value means is the engines' affair, not this module's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from feldspar.errors import UsageError
from feldspar.spec.definition import Definition
from feldspar.spec.loading import validated
from feldspar.spec.reading import Document, read_document

SUFFIX = ".test.yaml"

Row = dict[str, Any]


class Expected(BaseModel):
    """One row of ``expect``: a time, an entity's keys, and the features it then has."""

    model_config = ConfigDict(extra="allow", frozen=True)

    at: Any = Field(
        default=None,
        description="the time T; without a zone it is in the zone of the view's source",
    )

    @property
    def values(self) -> Row:
        """Everything but the time: keys and features, by name."""
        return dict(self.model_extra or {})


class CaseFile(Definition):
    """The cases of one view."""

    given: dict[str, tuple[Row, ...]] = Field(
        default_factory=dict,
        description="rows by silver table; a column that is left out is null, a key is counted",
    )
    expect: tuple[Expected, ...] = Field(min_length=1)
    description: str = ""


@dataclass(frozen=True)
class Cases:
    """A test file: the view it is about, what it says, and where."""

    view: str
    spec: CaseFile
    document: Document


def load_cases(conf: Path, path: Path | None, variables: Mapping[str, str]) -> list[Cases]:
    """Reads the test files below conf/, or those that ``path`` (a file or folder) names.

    Raises:
        DefinitionError: a file is not of the shape of a test.
        UsageError: there is no test file there.
    """
    found = _files(path or conf)
    if not found:
        hint = f"a test of a view is conf/views/<view>{SUFFIX}"
        raise UsageError(f"{path or conf}: no file ends in {SUFFIX}", hint=hint)
    adapter = TypeAdapter(CaseFile)
    cases = []
    for file in found:
        document = read_document(file, root=conf.parent, variables=variables)
        spec: CaseFile = validated(adapter, document)
        cases.append(Cases(file.name.removesuffix(SUFFIX), spec, document))
    return cases


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.name.endswith(SUFFIX) else []
    return sorted(path.rglob(f"*{SUFFIX}"))
