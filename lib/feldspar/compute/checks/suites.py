"""Great Expectations suites over finished tables; the only module that knows that library.

Row checks have refused bad rows before this; a suite holds the finished table against what its
definition promises, as evidence that others can read (Data Docs).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, assert_never

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.checkpoint import UpdateDataDocsAction
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.data_context import FileDataContext
from pyspark.sql import DataFrame

from feldspar.compute.checks.leftovers import marked, remove_half_written
from feldspar.graph.graph import Table
from feldspar.graph.view import PlainView, View, WindowedView
from feldspar.names import BATCH, BUCKET, EVENT_ID, EVENT_TIME, KNOWN_TIME, POSITION, ROW_HASH
from feldspar.spec.check import Between, CheckSpec, Matches, NotNull, OneOf

Expectation = Any
SITE = ("gx", "uncommitted", "data_docs", "local_site", "index.html")


@dataclass(frozen=True)
class Finding:
    """One expectation of one table, and whether it held."""

    table: str
    expectation: str
    column: str
    success: bool
    detail: str


def silver_expectations(table: Table) -> list[Expectation]:
    """What a silver table's definition promises of every row."""
    promised = [
        gxe.ExpectTableColumnsToMatchSet(
            column_set=[*table.spec.columns, EVENT_TIME, KNOWN_TIME, BATCH, POSITION, ROW_HASH],
            exact_match=False,
        ),
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        *[gxe.ExpectColumnValuesToNotBeNull(column=key) for key in table.spec.key],
        gxe.ExpectColumnValuesToNotBeNull(column=EVENT_TIME),
        gxe.ExpectColumnValuesToNotBeNull(column=KNOWN_TIME),
    ]
    for column, checks in table.spec.checks.items():
        promised += [
            _expectation(column, check)
            for check in checks
            if not (isinstance(check, NotNull) and column in table.spec.key)
        ]
    return promised


def gold_expectations(view: View) -> list[Expectation]:
    """What holds of every gold table: entity and clocks are there, and all columns."""
    event = [EVENT_ID] if isinstance(view, WindowedView) else []
    needed = [*view.keys, *event, EVENT_TIME, KNOWN_TIME, BUCKET]
    values = [one.name for one in view.columns]
    shares = [one.name for one in view.features] if isinstance(view, PlainView) else []
    return [
        gxe.ExpectTableColumnsToMatchSet(column_set=[*needed, *values], exact_match=False),
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        *[gxe.ExpectColumnValuesToNotBeNull(column=name) for name in needed],
        *[gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=0.5) for name in shares],
    ]


def _expectation(column: str, check: CheckSpec) -> Expectation:
    match check:
        case NotNull():
            return gxe.ExpectColumnValuesToNotBeNull(column=column)
        case Between(low=low, high=high):
            return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high)
        case OneOf(values=values):
            return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(values))
        case Matches(pattern=pattern):
            return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=f"^(?:{pattern})$")
        case _:
            assert_never(check)


def validate(
    df: DataFrame, expectations: list[Expectation], *, name: str, folder: Path
) -> list[Finding]:
    """Runs a suite over a frame and adds the result to the Data Docs under ``folder``.

    Args:
        df: the finished table.
        expectations: made by the functions above.
        name: ``layer.table``.
        folder: where the library keeps its files; the site is at ``data_docs(folder)``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if remove_half_written(folder, folder / SITE[0]):
        _context.cache_clear()
    with marked(folder):
        result = _run(df, expectations, name=name, context=_context(folder))
    return list(_findings(name, result))


def _run(
    df: DataFrame, expectations: list[Expectation], *, name: str, context: FileDataContext
) -> Any:
    source = context.data_sources.add_or_update_spark(name="lake")
    asset = source.add_dataframe_asset(name=name)
    batch = asset.add_batch_definition_whole_dataframe("whole")
    suite = context.suites.add_or_update(ExpectationSuite(name=name, expectations=expectations))
    definition = context.validation_definitions.add_or_update(
        gx.ValidationDefinition(name=name, data=batch, suite=suite)
    )
    checkpoint = context.checkpoints.add_or_update(
        gx.Checkpoint(
            name=name,
            validation_definitions=[definition],
            actions=[UpdateDataDocsAction(name="data_docs")],
            # counts only: examples of failing rows cost one more pass each
            result_format="BOOLEAN_ONLY",
        )
    )
    return checkpoint.run(batch_parameters={"dataframe": df})


def data_docs(folder: Path) -> Path:
    """The first page of the Data Docs."""
    return folder.joinpath(*SITE)


@cache
def _context(folder: Path) -> FileDataContext:
    context = gx.get_context(mode="file", project_root_dir=str(folder))
    context.variables.progress_bars = {"globally": False}
    # nothing is sent anywhere
    context.variables.analytics_enabled = False
    context.variables.save()
    return context


def _findings(name: str, result: Any) -> Iterator[Finding]:
    for run in result.run_results.values():
        for one in run.results:
            config = one.expectation_config
            wanted = {key: value for key, value in config.kwargs.items() if key != "batch_id"}
            raised = (one.exception_info or {}).get("exception_message") or ""
            yield Finding(
                table=name,
                expectation=config.type,
                column=str(wanted.pop("column", "")),
                success=bool(one.success),
                detail=raised or str(wanted),
            )
