"""Files of payments as an unreliable feed sends them, drawn by a seed.

Copies, corrections, rows that come days late, lines in any order, and lines that cannot be used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

START = datetime(2018, 4, 1, tzinfo=UTC)
COLUMNS = (
    "transaction_id",
    "tx_datetime",
    "customer_id",
    "terminal_id",
    "amount",
    "is_fraud",
    "told_at",
)
CUSTOMERS = 17


@dataclass(frozen=True)
class Line:
    """A line of a file as it is written; ``reasons`` why it is to be refused, if it is."""

    values: tuple[str, ...]
    reasons: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """As it stands in the file."""
        return ",".join(self.values)


@dataclass(frozen=True)
class Delivery:
    """A file: its name and its lines in their order."""

    name: str
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """The whole file."""
        rows = [",".join(COLUMNS), *(line.text for line in self.lines)]
        return "\n".join(rows) + "\n"


def deliveries(random: Random, *, files: int, rows: int) -> list[Delivery]:
    """Files that come one after the other; what one has, a later one may repeat or correct."""
    sent: list[Line] = []
    found = []
    for number in range(files):
        first = number * rows
        lines = [_payment(random, ident) for ident in range(first, first + rows)]
        lines += random.sample(sent, min(len(sent), rows // 20))
        lines += [_correction(random, line) for line in random.sample(sent or lines, rows // 20)]
        lines += [_broken(random, 10_000 + first + place) for place in range(rows // 25)]
        lines += random.sample(lines, rows // 25)
        random.shuffle(lines)
        sent += [line for line in lines if not line.reasons]
        found.append(Delivery(f"{number:03d}.csv", tuple(lines)))
    return found


def _payment(random: Random, ident: int) -> Line:
    when = START + timedelta(minutes=7 * ident, seconds=random.randrange(60))
    late = timedelta(days=random.choice([0, 0, 0, 0, 3]), seconds=random.randrange(1, 600))
    amount = f"{random.uniform(1, 500):.2f}"
    return _line(ident, _text(when), ident % CUSTOMERS, amount, _text(when + late))


def _correction(random: Random, line: Line) -> Line:
    """Another amount, told later than what was told before: no two versions are told at once."""
    ident, when, customer, *_, told = line.values
    later = datetime.fromisoformat(told) + timedelta(seconds=random.randrange(1, 10_000_000))
    return _line(int(ident), when, int(customer), f"{random.uniform(1, 500):.2f}", _text(later))


def _broken(random: Random, ident: int) -> Line:
    good = _payment(random, ident).values
    wrong = random.choice(
        [
            ({4: "abc"}, ("amount:not_a_finite_number",)),
            ({4: ""}, ("amount:not_null",)),
            ({4: "5000"}, ("amount:between",)),
            ({1: "soon"}, ("tx_datetime:not_a_timestamp",)),
            ({2: "x", 5: "maybe"}, ("customer_id:not_a_bigint", "is_fraud:not_a_boolean")),
        ]
    )
    changed, reasons = wrong
    values = tuple(changed.get(place, value) for place, value in enumerate(good))
    return Line(values, tuple(sorted(reasons)))


def _line(ident: int, when: str, customer: int, amount: str, told: str) -> Line:
    return Line((str(ident), when, str(customer), str(ident % 5), amount, "false", told))


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
