"""Great Expectations over the same rows: verdicts and counts, nothing split and nothing written."""

from __future__ import annotations

from typing import Any, assert_never

import great_expectations as gx
import great_expectations.expectations as gxe

from bench.checks_rules import Among, Matching, NotBelow, NotNull, Rule, Within, rules
from bench.inputs import CheckData
from bench.rivals.delta_engine import DeltaEngine, answer
from bench.rivals.engine import Job


class GreatExpectations(DeltaEngine):
    """One suite with an expectation a rule, in the shortest form of result that has counts."""

    def run(self, job: Job[CheckData]) -> None:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        context.variables.analytics_enabled = False
        asset = context.data_sources.add_spark(name="bench").add_dataframe_asset(name="rows")
        whole = asset.add_batch_definition_whole_dataframe("whole")
        batch = whole.get_batch({"dataframe": self.rows(job)})
        asked = [_expectation(reason, rule) for reason, rule in rules().items()]
        suite = gx.ExpectationSuite(name="rules", expectations=asked)
        found = batch.validate(suite, result_format="BASIC")
        answer(
            {
                one.expectation_config.meta["reason"]: one.result["unexpected_count"]
                for one in found.results
            },
            job,
        )
        # it keeps the rows in memory; the next run must not find them there
        self.spark.catalog.clearCache()


def _expectation(reason: str, rule: Rule) -> Any:
    meta = {"reason": reason}
    match rule:
        case NotNull(column=column):
            return gxe.ExpectColumnValuesToNotBeNull(column=column, meta=meta)
        case Within(column=column, low=low, high=high):
            return gxe.ExpectColumnValuesToBeBetween(
                column=column, min_value=low, max_value=high, meta=meta
            )
        case Among(column=column, values=values):
            return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(values), meta=meta)
        case Matching(column=column, pattern=pattern):
            return gxe.ExpectColumnValuesToMatchRegex(
                column=column, regex=f"^(?:{pattern})$", meta=meta
            )
        case NotBelow(column=column, other=other):
            return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A=column,
                column_B=other,
                or_equal=True,
                ignore_row_if="either_value_is_missing",
                meta=meta,
            )
        case _:
            assert_never(rule)
