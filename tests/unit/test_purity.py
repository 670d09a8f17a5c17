"""On-demand functions at ``validate``: pure ones pass, every kind of mistake is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from feldspar.compute.services.purity import faults
from feldspar.graph.compile import compile_graph
from feldspar.spec.loading import load_definitions
from support.places import REPOSITORY
from support.small_project import write_project

VIEW = """\
description: planted
on_demand: {module}:answer
inputs: [request.amount, customer_spend.count_7d, request.tx_datetime]
features: {{score: double}}
"""
TOP = """\
import itertools
import pandas as pd
calls = itertools.count()
"""
PLACE = "conf/views/planted.yaml:2  hook {module}:answer "


@pytest.fixture
def module(tmp_path: Path) -> Iterator[str]:
    """A module of the test's own, empty at first, that can be imported."""
    name = f"planted_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").touch()
    sys.path.insert(0, str(tmp_path))
    yield name
    sys.path.remove(str(tmp_path))
    sys.modules.pop(name, None)


def told(folder: Path, module: str, body: str) -> str:
    """What is wrong with a view whose function has this body; empty where nothing is."""
    text = TOP + "def answer(df):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    (folder / f"{module}.py").write_text(text, encoding="utf-8")
    conf = write_project(folder, {"views/planted.yaml": VIEW.format(module=module)})
    found = faults(compile_graph(load_definitions(conf, {})))
    return "".join(f"{one.message}\n{one.hint}" for one in found)


def test_the_shipped_functions_are_pure() -> None:
    graph = compile_graph(load_definitions(REPOSITORY / "conf", {}))

    assert (len(graph.on_demand) > 1, faults(graph)) == (True, ())


PURE = {
    "arithmetic of doubles": "return pd.DataFrame({'score': df.amount * 2}, index=df.index)",
    "arithmetic of whole numbers": (
        "return pd.DataFrame({'score': df.customer_spend__count_7d % 7}, index=df.index)"
    ),
    "times": "return pd.DataFrame({'score': df.tx_datetime.dt.hour / 24})",
    "more columns than are declared": "return df.assign(score=1.0)",
}


@pytest.mark.parametrize("case", PURE)
def test_a_pure_function_passes(case: str, module: str, tmp_path: Path) -> None:
    assert told(tmp_path, module, PURE[case]) == ""


IMPURE = {
    "state kept between calls": (
        "return pd.DataFrame({'score': df.amount + next(calls)}, index=df.index)",
        (
            "is not pure: two calls with the same 23 rows gave score = 12.5, then 13.5, "
            "for the row amount=12.5, customer_spend__count_7d=7, "
            "tx_datetime=2018-04-05 10:30:00+00:00\n"
            "answer from the frame alone"
        ),
    ),
    "a rank among the rows": (
        "return pd.DataFrame({'score': df.amount.rank()}, index=df.index)",
        (
            "is not pure: score is 15.5 among 23 rows and 1.0 for the same row alone: "
            "amount=12.5, customer_spend__count_7d=7, tx_datetime=2018-04-05 10:30:00+00:00\n"
            "answer each row from itself"
        ),
    ),
    "a mean over the rows": (
        "return pd.DataFrame({'score': df.amount.fillna(df.amount.mean())}, index=df.index)",
        "and None for the same row alone",
    ),
    "rows in another order": (
        "return pd.DataFrame({'score': df.amount.sort_values()})",
        "for the same row alone",
    ),
    "a changed input": (
        (
            "df['amount'] = df.amount.fillna(0.0)\n"
            "return pd.DataFrame({'score': df.amount}, index=df.index)"
        ),
        "changed its input: values of amount\nput new columns into a new frame",
    ),
    "a column added to the input": (
        "df['score'] = df.amount\nreturn df",
        (
            "changed its input: columns amount, customer_spend__count_7d, tx_datetime became "
            "amount, customer_spend__count_7d, tx_datetime, score"
        ),
    ),
    "another column than declared": (
        "return pd.DataFrame({'scores': df.amount}, index=df.index)",
        "returned no column 'score'; nearest: scores\nit must answer any values",
    ),
    "another type than declared": (
        "return pd.DataFrame({'score': df.amount.astype(str)}, index=df.index)",
        "declares score as double and returned object: Could not convert '12.5'",
    ),
    "fewer rows": (
        "return pd.DataFrame({'score': df.amount.dropna()})",
        "must return a frame of 23 rows; it returned ",
    ),
    "no frame": ("return df.amount", "must return a frame of 23 rows; it returned Series"),
}


@pytest.mark.parametrize("case", IMPURE)
def test_a_mistake_is_told(case: str, module: str, tmp_path: Path) -> None:
    body, expected = IMPURE[case]

    found = told(tmp_path, module, body)

    assert expected in found


def test_an_error_is_told_with_the_users_own_line(module: str, tmp_path: Path) -> None:
    body = "hours = df.amount.astype(int)\nreturn pd.DataFrame({'score': hours}, index=df.index)"

    found = told(tmp_path, module, body)

    line = f"{module}.py:5 (hours = df.amount.astype(int)): IntCastingNaNError"
    assert line in found
