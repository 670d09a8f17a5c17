"""JSON Schemas for editors: committed as generated, named by every YAML, true of every YAML."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from feldspar.spec.schema import modeline, schemas

CONF = Path(__file__).parents[2] / "conf"
SCHEMAS = schemas()
FILES = sorted(
    path
    for path in CONF.rglob("*.yaml")
    if "environments" in path.parts or "schema" not in path.parts
)


def modeline_of(path: Path) -> str:
    folder = "" if path.parent == CONF else path.parent.name
    return modeline(folder, test=path.name.endswith(".test.yaml"))


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_the_generated_one(name: str) -> None:
    committed = json.loads((CONF / "schema" / f"{name}.json").read_text(encoding="utf-8"))

    assert committed == SCHEMAS[name], "run: feldspar schema"


def test_no_other_schema_is_committed() -> None:
    assert {path.stem for path in (CONF / "schema").iterdir()} == set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_the_first_line_of_a_definition_names_its_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]

    assert first == modeline_of(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_a_definition_is_valid_in_an_editor(path: Path) -> None:
    schema = SCHEMAS[Path(modeline_of(path)).stem]
    content = YAML(typ="safe").load(path)

    found = [
        error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(content)
    ]

    assert found == []


def test_a_typo_is_marked_in_an_editor() -> None:
    content = {"entity": "customer", "from": "transactions", "features": ["a"], "tll": "7d"}

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMAS["view"]).validate(content)
