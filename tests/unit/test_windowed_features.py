"""What a windowed feature may say, from YAML to its columns and their values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from feldspar.compute.services.online import WindowReader
from feldspar.compute.services.plans import window_plan
from feldspar.compute.windows.arrow import add_windows
from feldspar.graph.compile import compile_graph
from feldspar.graph.view import WindowedView
from feldspar.online.state import of_history, pack_state
from feldspar.spec.loading import load_definitions
from feldspar.stores.events import StoredEvents, pack_events
from feldspar.stores.retain import Horizon
from feldspar.stores.tiles import TileLayout, unpack, value_layout
from feldspar.times import duration_micros, from_micros, to_micros
from support.small_project import write_project

TABLE = """\
from: payments
key: transaction_id
columns:
  transaction_id: bigint
  tx_datetime: timestamp
  customer_id: bigint
  terminal_id: bigint
  amount: double
  channel: string
"""
HEAD = """\
entity: customer
from: transactions
windows: [1d, 2d]
request_event: exclude
"""
T = datetime(2024, 5, 20, 12, 30, tzinfo=UTC)
PAYMENTS = (
    # hours before T, amount, channel
    (49.0, 5.0, "atm"),
    (48.4, 6.0, "atm"),
    (30.0, 40.0, "Point of Sale"),
    (24.4, 30.0, None),
    (20.0, 10.0, "atm"),
    (20.0, None, "online"),
    (1.0, 12.0, "atm"),
)


def view_of(folder: Path, feature: str, *, head: str = HEAD) -> WindowedView:
    """A view with the one feature ``paid``."""
    files = {
        "tables/transactions.yaml": TABLE,
        "views/paid.yaml": f"{head}features:\n  paid: {feature}\n",
        "views/last_payment.yaml": "entity: customer\nfrom: transactions\nfeatures: [amount]\n",
        "models/fraud.yaml": (
            "service: fraud\nspine: transactions\nlabel: amount > 9\nlearners: [logistic]\n"
            "search: {budget: 10s}\nperiods: {train: 7d, validate: 7d, test: 7d}\n"
            "optimise: auc\nretrain: 7d\n"
        ),
    }
    found = compile_graph(load_definitions(write_project(folder, files), {})).views["paid"]
    assert isinstance(found, WindowedView)
    return found


def events_of(view: WindowedView) -> tuple[pa.Table, StoredEvents]:
    """The payments as gold rows and as what the store holds of them."""
    times = [to_micros(T - timedelta(hours=hours)) for hours, _, _ in PAYMENTS]
    size = len(PAYMENTS)
    silver: dict[str, list[Any]] = {
        "amount": [amount for _, amount, _ in PAYMENTS],
        "channel": [channel for _, _, channel in PAYMENTS],
        "tx_datetime": times,
    }
    columns = {one.name: _values(str(one.expression), silver) for one in view.columns}
    clock = pa.array(times, pa.timestamp("us", "UTC"))
    gold = {
        "customer_id": pa.array([1] * size),
        "_event_id": pa.array(range(size)),
        "_event_time": clock,
        "_known_time": clock,
        "_batch": pa.array([0] * size),
        "_position": pa.array(range(size)),
        "_retracted": pa.array([False] * size),
    }
    for one in view.columns:
        kind = {"string": pa.string(), "timestamp": pa.timestamp("us", "UTC")}
        gold[one.name] = pa.array(columns[one.name], kind.get(one.type.value))
    stored = StoredEvents(
        list(range(size)), times, times, [0] * size, list(range(size)), [False] * size, columns
    )
    return pa.table(gold), stored


def _values(expression: str, silver: dict[str, list[Any]]) -> list[Any]:
    if expression in silver:
        return silver[expression]
    rows = zip(silver["amount"], silver["channel"], strict=True)
    return [SAID[expression](amount, channel) for amount, channel in rows]


SAID = {
    "case when channel = 'atm' then 1 else null end": lambda _, c: 1 if c == "atm" else None,
    "case when amount > 9 and channel = 'atm' then amount else null end": (
        lambda a, c: a if a is not None and a > 9 and c == "atm" else None
    ),
    "case when amount > 9 and channel = 'Point of Sale' then amount else null end": (
        lambda a, c: a if a is not None and a > 9 and c == "Point of Sale" else None
    ),
}

CASES = {
    "a condition": (
        "{value: count(), where: channel = 'atm'}",
        {"paid_1d": 2, "paid_2d": 2},
    ),
    "a column for each value of the rows for which a condition holds": (
        "{value: sum(amount), where: amount > 9, by: channel, values: [atm, Point of Sale]}",
        {
            "paid_atm_1d": 22.0,
            "paid_atm_2d": 22.0,
            "paid_point_of_sale_1d": None,
            "paid_point_of_sale_2d": 40.0,
        },
    ),
    "the greatest groups, equal ones by their text": (
        "{value: count(), by: channel, top: 3, window: 2d, default: 0}",
        {
            "paid_top_1": "atm",
            "paid_top_1_value": 2,
            "paid_top_2": "Point of Sale",
            "paid_top_2_value": 1,
            "paid_top_3": "online",
            "paid_top_3_value": 1,
        },
    ),
    "no group there is": (
        "{value: max(amount), by: channel, top: 2, window: 1d, default: 0}",
        {
            "paid_top_1": "atm",
            "paid_top_1_value": 12.0,
            "paid_top_2": None,
            "paid_top_2_value": 0.0,
        },
    ),
    "the first": ("first(amount)", {"paid_1d": 10.0, "paid_2d": 40.0}),
    "the last text": ("{value: last(channel), window: 1d}", {"paid": "atm"}),
    "the last instant": (
        "{value: last(tx_datetime), window: 1d}",
        {"paid": T - timedelta(hours=1)},
    ),
    "the last two": (
        "{value: 'last(amount, 2)', windows: [1d]}",
        {"paid_1_1d": 12.0, "paid_2_1d": 10.0},
    ),
    "how many there are, about": ("approx_distinct(channel)", {"paid_1d": 2, "paid_2d": 3}),
    "a quantile, about": (
        "{value: 'approx_quantile(amount, 0.5)', window: 1d}",
        {"paid": 10.0625},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_feature_in_batch(case: str, tmp_path: Path) -> None:
    feature, expected = CASES[case]
    view = view_of(tmp_path, feature)

    assert batch(view) == expected


@pytest.mark.parametrize("case", CASES)
def test_a_feature_online(case: str, tmp_path: Path) -> None:
    feature, expected = CASES[case]
    view = view_of(tmp_path, feature)

    assert online(view) == expected


HOPS = {
    "one for all windows": ("hop: 1h\n", {"paid_1d": 4, "paid_2d": 6}),
    "one for a window, the other exact": ("hop: {1d: 1h}\n", {"paid_1d": 4, "paid_2d": 5}),
    "with a delay both edges are rounded": (
        "hop: 1h\ndelay: 1h\n",
        {"paid_1d": 3, "paid_2d": 6},
    ),
}


@pytest.mark.parametrize("case", HOPS)
def test_edges_on_a_raster(case: str, tmp_path: Path) -> None:
    hop, expected = HOPS[case]
    view = view_of(tmp_path, "count()", head=HEAD + hop)

    assert (batch(view), online(view)) == (expected, expected)


def test_the_age_of_what_lies_in_a_tile_is_that_of_its_end(tmp_path: Path) -> None:
    view = view_of(tmp_path, "count()", head=HEAD + "hop: 6h\n")
    _, stored = events_of(view)
    layout = value_layout(view)
    assert isinstance(layout, TileLayout)
    horizon = Horizon(to_micros(T), duration_micros(view.retention), 0)
    older = stored.take(range(len(PAYMENTS) - 1))
    state = of_history(older, horizon, layout)
    packed = unpack(layout, pack_state(layout, state, epoch=1, version=1))

    found = WindowReader(view).read(packed, to_micros(T))

    # twenty hours before half past twelve is in the tile until noon less eighteen hours
    assert (found.state, found.newest) == (
        "fresh",
        to_micros(datetime(2024, 5, 19, 18, tzinfo=UTC)),
    )


def test_a_hop_adds_to_the_retention(tmp_path: Path) -> None:
    view = view_of(tmp_path, "count()", head=HEAD + "hop: 6h\n")

    assert view.retention == timedelta(days=2, hours=6)


def batch(view: WindowedView) -> dict[str, Any]:
    gold, _ = events_of(view)
    spine = pa.table({"customer_id": [1], "at": pa.array([T])})
    found = add_windows(spine, gold, window_plan(view, keys=("customer_id",), time="at"))
    names = [one.name for one in view.aggregates]
    return {name: found[f"paid__{name}"][0].as_py() for name in names}


def online(view: WindowedView) -> dict[str, Any]:
    _, stored = events_of(view)
    layout = value_layout(view)
    if isinstance(layout, TileLayout):
        horizon = Horizon(to_micros(T), duration_micros(view.retention), 0)
        state = of_history(stored, horizon, layout)
        value = pack_state(layout, state, epoch=1, version=1)
    else:
        value = pack_events(layout, stored, epoch=1, version=1)
    values = WindowReader(view).read(unpack(layout, value), to_micros(T)).values
    # the store keeps instants as microseconds
    instants = {one.name for one in view.aggregates if one.type.value == "timestamp"}
    found = {one.name: values[f"paid__{one.name}"] for one in view.aggregates}
    return {name: from_micros(found[name]) if name in instants else found[name] for name in found}
