"""What a generated data set is asked to be; the same options give the same bytes.

A value that can not be is refused here, so nothing below checks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta

from feldspar.errors import UsageError, nearest

OptionValue = int | float | str | date | None

_SHARES = ("late_share", "duplicate_share", "malformed_share", "correction_share")
_COUNTS = ("payments", "days", "history_days")


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions:
    """Size, span and flaws of the generated data.

    Args:
        seed: not negative; another seed gives other data of the same kind.
        payments: about how many card payments; the manifest has the exact number.
        customers: number of card holders; None: one for 350 payments, at least 50.
        terminals: number of terminals; None: two for each customer, at least 100.
        days: length of the payments' span.
        start: first day (UTC) of payments.
        history_days: how far before ``start`` bureau snapshots and loans begin. The default lets
            a credit model be trained, validated and tested although each label needs 12 months.
        late_share: share of payments that arrive an hour to ten days late.
        duplicate_share: share of payments that are delivered twice, the same to the byte.
        malformed_share: share of payments and sessions whose line is broken.
        correction_share: share of payments that are followed by a version with another amount.

    Raises:
        UsageError: a value is out of its range.
    """

    seed: int = 7
    payments: int = 1_000_000
    customers: int | None = None
    terminals: int | None = None
    days: int = 183
    start: date = date(2018, 4, 1)
    history_days: int = 1_330
    late_share: float = 0.02
    duplicate_share: float = 0.005
    malformed_share: float = 0.002
    correction_share: float = 0.0005

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"generator option seed is {self.seed}, it must not be negative")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise UsageError(f"generator option {name} is {getattr(self, name)}, less than 1")
        for name in ("customers", "terminals"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise UsageError(f"generator option {name} is {count}, less than 1")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 0.5:
                raise UsageError(
                    f"generator option {name} is {getattr(self, name)}, not within 0 and 0.5"
                )

    @property
    def customer_count(self) -> int:
        """How many customers there are, given or derived."""
        return self.customers or max(50, self.payments // 350)

    @property
    def terminal_count(self) -> int:
        """How many terminals there are, given or derived."""
        return self.terminals or max(100, 2 * self.customer_count)

    @property
    def start_second(self) -> int:
        """First second of the payments, since the epoch."""
        return (self.start - date(1970, 1, 1)).days * 86_400

    @property
    def end_second(self) -> int:
        """First second after the span; nothing in the files happens or arrives at it or later."""
        return self.start_second + self.days * 86_400

    @property
    def history_start(self) -> date:
        """The day from which on there are loans and bureau snapshots."""
        return self.start - timedelta(days=self.history_days)

    def as_json(self) -> dict[str, int | float | str]:
        """All options with derived counts filled in, as JSON values."""
        values: dict[str, int | float | str] = {
            field.name: getattr(self, field.name) for field in fields(self)
        }
        derived = {"customers": self.customer_count, "terminals": self.terminal_count}
        return values | derived | {"start": self.start.isoformat()}


def read_options(values: Mapping[str, OptionValue]) -> GeneratorOptions:
    """Options as a definition file gives them: numbers, or text that reads as one.

    Raises:
        UsageError: a name is unknown or a value does not read as its type.

    >>> read_options({"seed": 1, "payments": "20_000"}).payments
    20000
    """
    known = {field.name: str(field.type) for field in fields(GeneratorOptions)}
    for name in values:
        if name not in known:
            raise UsageError(
                f"the generator has no option {name!r}",
                hint=f"nearest: {', '.join(nearest(name, known) or sorted(known))}",
            )
    given = {name: value for name, value in values.items() if value is not None}
    return GeneratorOptions(
        **{name: _read(name, known[name], value) for name, value in given.items()}  # type: ignore[arg-type]  # each value has its field's type
    )


def _read(name: str, kind: str, value: OptionValue) -> int | float | date:
    try:
        if kind == "date":
            return date.fromisoformat(str(value))
        return float(str(value)) if kind == "float" else int(str(value))
    except ValueError as error:
        raise UsageError(f"generator option {name} is {value!r}, not a {kind}") from error
