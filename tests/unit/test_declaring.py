"""A column is added to a table's file as a person would add it: one line, the rest untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

from feldspar.errors import UsageError
from feldspar.graph.compile import compile_graph
from feldspar.spec.declaring import declare_column
from feldspar.spec.loading import load_definitions
from feldspar.spec.types import ColumnType
from support.small_project import FILES, write_project

TABLE = "tables/transactions.yaml"
NESTED = """\
# what came in
from: payments
key: transaction_id   # of the bank
columns:
    transaction_id: bigint
    tx_datetime: timestamp
    customer_id: bigint
    terminal_id: bigint
    amount: double
    is_fraud:
        type: boolean
        known_after: 7d
"""


@pytest.mark.parametrize("text", [FILES[TABLE], NESTED, NESTED.rstrip("\n")])
def test_the_file_has_one_line_more_and_declares_the_column(tmp_path: Path, text: str) -> None:
    conf = write_project(tmp_path, {TABLE: text})

    number = declare_column(conf / TABLE, "tip", ColumnType.DOUBLE)

    lines = (conf / TABLE).read_text(encoding="utf-8").splitlines()
    declared = compile_graph(load_definitions(conf, {})).table("transactions").spec.columns
    assert lines[: number - 1] + lines[number:] == text.splitlines()
    assert (declared["tip"].type, declared["tip"].optional) == (ColumnType.DOUBLE, True)
    assert list(declared)[-1] == "tip"


def test_a_name_with_odd_letters_is_quoted(tmp_path: Path) -> None:
    conf = write_project(tmp_path)

    declare_column(conf / TABLE, "x.y", ColumnType.STRING)

    assert "x.y" in load_definitions(conf, {}).tables["transactions"].columns


def test_columns_on_one_line_are_left_and_the_line_to_write_is_said(tmp_path: Path) -> None:
    text = "from: payments\nkey: a\ncolumns: {a: bigint, b: timestamp}\n"
    path = write_project(tmp_path, {"tables/other.yaml": text}) / "tables/other.yaml"

    with pytest.raises(UsageError) as told:
        declare_column(path, "tip", ColumnType.DOUBLE)

    assert told.value.hint == "add it by hand: tip: {type: double, optional: true}"
    assert path.read_text(encoding="utf-8") == text
