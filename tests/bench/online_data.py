"""What the serving benchmark serves: a project of its own, put into Redis without Spark.

Three plain views with 50 features for reads beside Feast; for scores one of them and two windowed
views, 50 features again, with a boosted model of 200 trees. Values depend on the customer alone, so
that every store that holds them can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.view import PlainView, View, WindowedView
from feldspar.names import value_fingerprint
from feldspar.spec.environment import Environment, load_environment
from feldspar.spec.loading import load_definitions
from feldspar.spec.types import ColumnType
from feldspar.stores.events import StoredEvents, pack_events
from feldspar.stores.online import Cursor, OnlineStore, Write
from feldspar.stores.rows import StoredRow, layout_of, pack_rows
from feldspar.times import to_micros
from support.scoring import DAY, NOON, crown_champion

CUSTOMERS = 10_000
PAYMENTS = 60
"""Of each customer, spread over 30 days."""
PLAIN: Mapping[str, int] = {"bureau": 17, "conduct": 17, "device": 16}
"""View to its number of features."""
WIDE, SCORED = "wide", "lending"
"""The service without a model, and the one with."""
NAMESPACE = "bench"

_TREES = 200
_BATCH = 2_000
_MICROS = to_micros(NOON)
_DAY = DAY.days * 86_400 * 1_000_000


def names_of(view: str) -> list[str]:
    """The features of a plain view."""
    return [f"{view}_{number:02d}" for number in range(PLAIN[view])]


def values_of(view: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A row a customer, a column a feature."""
    random = np.random.default_rng(list(PLAIN).index(view))
    return random.gamma(2.0, 10.0, (CUSTOMERS, PLAIN[view]))


def write_project(folder: Path, redis_url: str) -> Path:
    """The project below ``folder``; returns its conf folder."""
    conf = folder / "conf"
    for name, text in {**_FILES, **_plain_files(), **_environment(folder, redis_url)}.items():
        path = conf / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return conf


def fill(conf: Path) -> None:
    """Crowns a champion and puts every customer's values into Redis."""
    graph = compile_graph(load_definitions(conf, {}))
    environment = load_environment(conf, "bench", {})
    crown(graph, environment)
    with OnlineStore.of(environment) as store:
        for view in graph.views.values():
            _put(store, view)


def crown(graph: Graph, environment: Environment) -> None:
    """A boosted model of 200 trees becomes champion."""
    boosted = HistGradientBoostingClassifier(
        max_iter=_TREES, early_stopping=False, random_state=7, min_samples_leaf=2
    )
    crown_champion(graph, environment, SCORED, estimator=boosted, size=4_000)


def _put(store: OnlineStore, view: View) -> None:
    kind: Literal["row", "events"] = "row" if isinstance(view, PlainView) else "events"
    values = _rows(view) if isinstance(view, PlainView) else _events(view)
    floor = _MICROS - 40 * _DAY
    batch: list[Write] = []
    for customer, value in enumerate(values, start=1):
        batch.append(Write(store.key("customer", [customer], view.online_name), value, None))
        if len(batch) == _BATCH or customer == CUSTOMERS:
            store.write(batch, kind=kind, floor=floor)
            batch = []
    cursor = Cursor(1, value_fingerprint(view.definition), 0, 1, _MICROS, floor)
    store.set_cursor(view.online_name, cursor, before=store.cursor(view.online_name))


def _rows(view: PlainView) -> Iterator[bytes]:
    layout, names = layout_of(view), names_of(view.name)
    for row in values_of(view.name).tolist():
        one = StoredRow(_MICROS, _MICROS, 0, 0, _MICROS, dict(zip(names, row, strict=True)))
        yield pack_rows(layout, [one], epoch=1)


def _events(view: View) -> Iterator[bytes]:
    assert isinstance(view, WindowedView)
    layout = layout_of(view)
    random = np.random.default_rng(11)
    zeros, none = [0] * PAYMENTS, [False] * PAYMENTS
    for customer in range(CUSTOMERS):
        times = (_MICROS - random.integers(0, 30 * _DAY, PAYMENTS)).tolist()
        idents = list(range(customer * PAYMENTS, (customer + 1) * PAYMENTS))
        arguments = {name: _column(random, kind) for name, kind in layout.columns}
        events = StoredEvents(idents, times, times, zeros, zeros, none, arguments)
        yield pack_events(layout, events, epoch=1, version=1)


def _column(random: np.random.Generator, kind: ColumnType) -> Sequence[Any]:
    if kind is ColumnType.BOOLEAN:
        return [bool(one) for one in random.integers(0, 2, PAYMENTS)]
    assert kind is ColumnType.DOUBLE, kind
    return list(random.gamma(2.0, 30.0, PAYMENTS).round(2).tolist())


def _plain_files() -> dict[str, str]:
    columns = [f"  {name}: double" for view in PLAIN for name in names_of(view)]
    views = {
        f"views/{view}.yaml": "entity: customer\nfrom: reports\nttl: 365d\n"
        f"features: [{', '.join(names_of(view))}]\n"
        for view in PLAIN
    }
    return {"tables/reports.yaml": _REPORTS + "\n".join(columns) + "\n", **views}


def _environment(folder: Path, redis_url: str) -> dict[str, str]:
    text = f"""\
namespace: {NAMESPACE}
clock: data
storage: {{root: lake}}
redis: {{url: "{redis_url}"}}
mlflow: {{tracking_uri: "sqlite:///{folder / "mlflow.db"}"}}
"""
    return {"environments/bench.yaml": text}


_REPORTS = """\
from: reports
key: report_id
columns:
  report_id: bigint
  reported_at: timestamp
  customer_id: bigint
"""
_FILES = {
    "project.yaml": "name: bench\n",
    "sources/payments.yaml": """\
kind: files
path: data/payments
event_time: tx_datetime
known_time: event_time + 0s
zone: UTC
""",
    "sources/reports.yaml": """\
kind: files
path: data/reports
event_time: reported_at
known_time: event_time + 0s
zone: UTC
""",
    "tables/transactions.yaml": """\
from: payments
key: transaction_id
columns:
  transaction_id: bigint
  tx_datetime: timestamp
  customer_id: bigint
  amount: double
  channel: string
  country: string
  is_fraud: {type: boolean, known_after: 7d}
""",
    "entities/customer.yaml": "key: customer_id\n",
    "views/spend.yaml": """\
entity: customer
from: transactions
windows: [1d, 7d, 30d]
request_event: include
features:
  count: count()
  avg_amount: avg(amount)
  max_amount: max(amount)
  total: {value: sum(amount), default: 0}
""",
    "views/habits.yaml": """\
entity: customer
from: transactions
windows: [1d, 7d, 30d]
request_event: include
features:
  online: avg(channel = 'online')
  cash: avg(channel = 'atm')
  abroad: avg(country <> 'BE')
  small: avg(amount < 10)
  large: avg(amount > 200)
  night: avg(hour(tx_datetime) <= 6)
  weekend: avg(dayofweek(tx_datetime) >= 6)
""",
    f"services/{WIDE}.yaml": f"entities: customer\nfeatures: [{', '.join(PLAIN)}]\n",
    f"services/{SCORED}.yaml": "entities: customer\nfeatures: [bureau, spend, habits]\n",
    f"models/{SCORED}.yaml": f"""\
service: {SCORED}
spine: transactions
label: is_fraud
learners: [boosting]
search: {{budget: 10s}}
periods: {{train: 7d, validate: 7d, test: 7d}}
optimise: auc
answer: credit_score
retrain: 7d
""",
}
