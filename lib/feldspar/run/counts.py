"""Rows that a step read, wrote and refused, from its result: for the report and ``ops.steps``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from feldspar.features.gold import FeaturesResult
from feldspar.ingest.generate import GenerateResult
from feldspar.ingest.result import IngestResult
from feldspar.monitor.quality import QualityResult
from feldspar.online.push import PushResult
from feldspar.refine.history import HistoryResult
from feldspar.refine.table import RefineResult
from feldspar.run.execute import Result
from feldspar.training.result import TrainingResult


@dataclass(frozen=True)
class Counts:
    """None where a step has no such rows, or does not count them.

    ``version``: of the table that was written or looked at; of gold for a push.
    """

    rows_in: int | None = None
    rows_out: int | None = None
    refused: int | None = None
    version: int | None = None


def counts_of(result: Result | None) -> Counts:
    """What one result says."""
    match result:
        case None | GenerateResult():
            return Counts()
        case IngestResult() as one:
            return Counts(one.rows, one.rows, version=one.version)
        case RefineResult() as one:
            return Counts(one.rows_in, one.valid, one.quarantined, one.version)
        case HistoryResult() | FeaturesResult() as one:
            return Counts(rows_out=one.rows, version=one.version)
        case QualityResult() as one:
            return Counts(version=one.version)
        case TrainingResult() as one:
            return Counts(one.rows.get("fit"))
        case PushResult() as one:
            return Counts(one.entities, one.written, version=one.version)
        case _ as never:
            assert_never(never)
