"""Notebooks are in Databricks' source format, and thin."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.documents import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.py"))
FIRST_LINE = "# Databricks notebook source"
SEPARATOR = "\n# COMMAND ----------\n"
LONGEST_CELL = 25


def cells(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8").removeprefix(FIRST_LINE)
    return [cell.strip() for cell in text.split(SEPARATOR)]


def test_there_are_three_notebooks() -> None:
    names = [path.stem for path in NOTEBOOKS]
    assert names == ["explain_one_entity", "explore_training_set", "train_and_compare"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_in_source_format(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith(f"{FIRST_LINE}\n")
    assert cells(path)[0].startswith("# MAGIC %md")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_cell_is_text_or_a_little_code(path: Path) -> None:
    for cell in cells(path):
        magic = [line.startswith("# MAGIC") for line in cell.splitlines()]
        assert all(magic) or not any(magic), cell
        assert len(magic) <= LONGEST_CELL, cell


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_thin(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if line.strip() and not line.startswith("#")]
    assert len(code) <= 60
