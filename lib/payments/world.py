"""The world that is the same on every day of a data set: people, places and planned fraud."""

from __future__ import annotations

from dataclasses import dataclass

from payments.customers import Customers, make_customers
from payments.fraud import FraudSchedule, make_schedule
from payments.options import GeneratorOptions
from payments.terminals import Terminals, make_terminals


@dataclass(frozen=True)
class World:
    """Everything that a day's or a month's data are drawn from."""

    options: GeneratorOptions
    customers: Customers
    terminals: Terminals
    fraud: FraudSchedule


def make_world(options: GeneratorOptions) -> World:
    """Draws the profiles of a data set; memory grows with customers and terminals only."""
    terminals = make_terminals(options)
    return World(
        options=options,
        customers=make_customers(options, terminals),
        terminals=terminals,
        fraud=make_schedule(options),
    )
