"""Runs and registry against a real MLflow on sqlite, and a server that is not there."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from feldspar.compute.scoring import probabilities
from feldspar.errors import UnreachableError
from feldspar.spec.model import Learner
from feldspar.stores.experiments import Experiments, Logged, TrainingRecord
from feldspar.training.fit import learners
from support.small_models import FLAVOURS, learnable


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> Experiments:
    folder = tmp_path_factory.mktemp("mlflow")
    return Experiments(f"sqlite:///{folder / 'runs.db'}", "here", str(folder / "artefacts"))


def _log(experiments: Experiments, model: str, *, learner: Learner = "logistic") -> Logged:
    rows = learnable(400)
    estimator = learners.fit(learner, learners.first(learner), rows, seed=7)
    record = TrainingRecord(
        model=model,
        cut=123,
        definition="definition",
        estimator=estimator,
        example=rows.features.head(3),
        params={"learner": learner},
        metrics={"test_auc": 0.9, "nothing": float("nan")},
        files={"manifest.json": b"{}"},
    )
    return experiments.log_training(record)


@pytest.mark.parametrize("learner", FLAVOURS)
def test_a_model_comes_back_and_answers_the_same(
    experiments: Experiments, learner: Learner
) -> None:
    logged = _log(experiments, f"round_{learner}", learner=learner)
    experiments.crown(f"round_{learner}", logged.version)

    champion = experiments.champion(f"round_{learner}")

    rows = learnable(400)
    fitted = learners.fit(learner, learners.first(learner), rows, seed=7)
    assert champion is not None
    np.testing.assert_array_equal(
        probabilities(champion.estimator, rows.features.to_numpy()),
        probabilities(fitted, rows.features),
    )


@pytest.mark.parametrize("learner", FLAVOURS)
def test_one_row_is_answered_as_it_is_among_many(learner: Learner) -> None:
    rows = learnable(400)
    model = learners.fit(learner, learners.first(learner), rows, seed=7)

    together = probabilities(model, rows.features)[:40]

    alone = [probabilities(model, rows.features.iloc[[place]])[0] for place in range(40)]
    np.testing.assert_array_equal(together, alone)


def test_a_training_without_a_decision_counts_for_nothing(experiments: Experiments) -> None:
    _log(experiments, "interrupted")

    assert experiments.state("interrupted") is None


def test_a_training_is_complete_with_its_decision(experiments: Experiments) -> None:
    logged = _log(experiments, "complete")
    experiments.conclude("complete", logged.version, decision="not promoted: worse")

    state = experiments.state("complete")

    assert state is not None
    assert (state.cut, state.champion) == (123, None)


def test_a_model_that_was_never_trained_has_no_state_and_no_champion(
    experiments: Experiments,
) -> None:
    assert (experiments.state("never"), experiments.champion("never")) == (None, None)


def test_other_namespaces_are_not_dumped(experiments: Experiments) -> None:
    _log(experiments, "mine")
    other = Experiments(experiments.tracking_uri, "her_", experiments.artifacts)

    assert other.registry_dump() == []


def test_the_dump_says_what_was_trained(experiments: Experiments) -> None:
    _log(experiments, "dumped")

    found = [one for one in experiments.registry_dump() if one["model"] == "dumped"]

    assert found[0]["versions"][0]["metrics"] == {"test_auc": 0.9}


def test_a_server_that_is_not_there_is_told_in_seconds() -> None:
    started = time.monotonic()

    with pytest.raises(UnreachableError, match="does not answer"):
        Experiments("http://127.0.0.1:1", "here").state("any")

    assert time.monotonic() - started < 5


def test_a_password_is_not_shown() -> None:
    with pytest.raises(UnreachableError) as told:
        Experiments("http://me:secret@127.0.0.1:1", "here").probe()

    assert "secret" not in str(told.value)


def test_the_registry_is_read_where_spark_is_not_installed() -> None:
    absent = "sys.modules['pyspark'] = sys.modules['delta'] = None"
    code = f"import sys; {absent}; import feldspar.stores.experiments"
    lib = Path(__file__).parents[2] / "lib"

    ended = subprocess.run([sys.executable, "-c", code], cwd=lib, check=False)

    assert ended.returncode == 0
