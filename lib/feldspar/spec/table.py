"""A silver table: which columns, which key, which checks."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, field_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from feldspar.spec.check import Checks
from feldspar.spec.definition import Cost, Definition, Duration, Freshness, Names, OrShort, Trigger
from feldspar.spec.types import ColumnType


class ColumnSpec(Definition):
    """One typed column."""

    type: ColumnType
    optional: bool = Field(default=False, description="may be missing from the input: then null")
    known_after: Duration | None = Field(
        default=None, description="known this long after the event (a label), null before"
    )
    known_at: str | None = Field(
        default=None, description="column that says when this column became known"
    )


def _column(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class _OrType(OrShort):
    """A column that has nothing but a type is written as that type."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        full = handler(core)
        return {"anyOf": [handler.resolve_ref_schema(full)["properties"]["type"], full]}


Column = Annotated[ColumnSpec, BeforeValidator(_column), _OrType("string")]


class HistorySpec(Definition):
    """What ``history.<table>`` keeps of the changes: what holds now, or all that held and when."""

    kind: Literal["scd1", "scd2"] = Field(
        description="scd1: one row a key, as it is now; scd2: each row with valid_from and valid_to"
    )
    rows: Literal["changes", "snapshots"] = Field(
        default="changes",
        description="snapshots: rows of one value of sequence_by are the whole of what is told; a "
        "key that the next one lacks is gone",
    )
    sequence_by: Names = Field(
        default=(),
        description="column(s) that are greater in a later change; without it the event time; "
        "valid_from is the first of them",
    )
    delete_when: str | None = Field(
        default=None,
        description="condition under which a row takes its key away, e.g. \"op = 'd'\"; such a row "
        "is checked in its key, sequence and times alone",
    )
    without: Names = Field(
        default=(), description="column(s) to leave out: a change in them alone is none"
    )


class TableSpec(Definition):
    """Typed, de-duplicated, checked rows of one source; differing rows of a key are versions."""

    from_: str = Field(alias="from", description="source")
    key: Names = Field(description="column(s) that name the event")
    columns: dict[str, Column]
    checks: dict[str, Checks] = Field(default_factory=dict, description="checks by column")
    rules: dict[str, str] = Field(
        default_factory=dict, description="named conditions over the row, e.g. 'amount > 0'"
    )
    history: HistorySpec | None = Field(
        default=None, description="a further table, history.<table>, of rows that hold or held"
    )
    unknown_columns: Literal["quarantine", "rescue", "evolve", "fail", "ignore"] = Field(
        default="quarantine",
        description="values in columns that are not declared; quarantine: such rows are refused, "
        "rescue: kept as JSON in _rescued, evolve: the table gets the column, fail: the step ends, "
        "ignore: they stay in bronze",
    )
    max_future: Duration = Field(
        default="5m",
        validate_default=True,
        description="how far event_time may lie after known_time, at most 1d",
    )
    description: str = ""
    freshness: Freshness = None
    trigger: Trigger = None
    cost: Cost = None

    @field_validator("max_future")
    @classmethod
    def _at_most_a_day(cls, value: timedelta) -> timedelta:
        # windows leave out files of rows that are older than a window and a day
        if value > timedelta(days=1):
            raise ValueError("'max_future' is at most 1d: later times are wrong, not early")
        return value
