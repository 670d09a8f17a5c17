"""A small project with features in Redis and champions in MLflow, put there without Spark."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.names import value_fingerprint
from feldspar.spec.environment import Environment, RedisSpec
from feldspar.spec.loading import load_definitions
from feldspar.stores.events import StoredEvents, pack_events
from feldspar.stores.experiments import Experiments, TrainingRecord
from feldspar.stores.online import Cursor, OnlineStore, Write
from feldspar.stores.rows import StoredRow, layout_of, pack_rows
from feldspar.times import to_micros
from support.places import disk_environment
from support.small_project import write_project

NOON = datetime(2024, 5, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FILES = {
    "services/lending.yaml": "entities: customer\nfeatures: [customer_spend, last_payment]\n",
    "models/lending.yaml": """\
service: lending
spine: transactions
label: is_fraud
learners: [logistic]
search: {budget: 10s}
periods: {train: 7d, validate: 7d, test: 7d}
optimise: auc
answer: credit_score
retrain: 7d
""",
}


@dataclass(frozen=True)
class Payment:
    """A payment of a customer, in days before noon."""

    ident: int
    amount: float
    days: float


def small_graph(folder: Path) -> Graph:
    return compile_graph(load_definitions(write_project(folder, FILES), {}))


def environment_with(folder: Path, redis_url: str, namespace: str) -> Environment:
    update = {"redis": RedisSpec(url=redis_url), "namespace": namespace}
    return disk_environment(folder).model_copy(update=update)


def put_features(
    graph: Graph, store: OnlineStore, payments: dict[int, list[Payment]], *, version: int = 3
) -> None:
    """What a push would leave of these payments by customer."""
    noon = to_micros(NOON)
    floor = noon - 7 * DAY // timedelta(microseconds=1)
    spend, last = graph.view("customer_spend"), graph.view("last_payment")
    for customer, paid in payments.items():
        times = [noon - (one.days * DAY) // timedelta(microseconds=1) for one in paid]
        amounts = [one.amount for one in paid]
        zeros = [0] * len(paid)
        ids = [one.ident for one in paid]
        events = StoredEvents(
            ids, times, times, zeros, zeros, [False] * len(paid), {"amount": amounts}
        )
        packed = pack_events(layout_of(spend), events, epoch=1, version=version)
        key = store.key("customer", [customer], spend.online_name)
        store.write([Write(key, packed, None)], kind="events", floor=floor)
        for at, amount in zip(times, amounts, strict=True):
            row = StoredRow(at, at, 0, 0, at, {"last_amount": amount})
            value = pack_rows(layout_of(last), [row], epoch=1)
            key = store.key("customer", [customer], last.online_name)
            store.write([Write(key, value, None)], kind="row", floor=floor)
    for view in (spend, last):
        definition = value_fingerprint(view.definition)
        cursor = Cursor(version, definition, 0, 1, noon, floor)
        store.set_cursor(view.online_name, cursor, before=store.cursor(view.online_name))


def crown_champion(
    graph: Graph, environment: Environment, model: str, *, estimator: Any = None, size: int = 200
) -> str:
    """Trains a real model on ``size`` made-up rows and makes it champion; returns its version."""
    found = graph.model(model)
    names = [one.name for one in found.service.outputs]
    random = np.random.default_rng(7)
    rows = pd.DataFrame(random.gamma(2.0, 10.0, (size, len(names))), columns=names)
    label = rows.sum(axis=1) > rows.sum(axis=1).median()
    if estimator is None:
        estimator = make_pipeline(SimpleImputer(), LogisticRegression(max_iter=500))
    estimator.fit(rows, label)
    experiments = Experiments.of(environment)
    record = TrainingRecord(model, to_micros(NOON), found.definition, estimator, rows.head(3))
    version = experiments.log_training(record).version
    experiments.crown(model, version)
    experiments.conclude(model, version, decision="first")
    return version
