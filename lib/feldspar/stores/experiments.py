"""Training runs and the model registry: the only module that knows MLflow.

A training is complete when its version carries the decision tag, which is written last; a
version without it is what an interrupted training left, and counts for nothing. Models are kept
as skops files, so that loading one runs no code out of the file.
"""

from __future__ import annotations

import logging
import math
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pandas as pd

# mlflow reads these when it is imported: no telemetry, no advertising, no minutes of retries
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import mlflow
import mlflow.sklearn
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature

from feldspar.errors import StoreError, UnreachableError
from feldspar.graph.observed import ModelState
from feldspar.names import fingerprint, registered_model
from feldspar.spec.environment import Environment

CHAMPION = "champion"
CUT = "feldspar.cut"
DEFINITION = "feldspar.definition"
DECISION = "feldspar.decision"

_SECONDS_TO_ANSWER = 3.0
_SERVER_FAILED = 500
_TRUSTED = [
    "numpy.dtype",
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
]
"""What scikit-learn's own pipelines hold beyond plain values; skops loads nothing else."""


@dataclass(frozen=True, eq=False)
class TrainingRecord:
    """What one training leaves behind.

    Attributes:
        model: name in conf/models.
        cut: the clock of the training, UTC microseconds.
        definition: canonical definition of the model.
        estimator: a fitted scikit-learn classifier.
        example: a few rows of its input, float64.
        params: shown beside the run.
        metrics: name to figure; not a number is left out.
        files: file name to bytes (manifest, curves, plots).
    """

    model: str
    cut: int
    definition: str
    estimator: Any
    example: pd.DataFrame
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Logged:
    """Where a training is found again."""

    run_id: str
    version: str


@dataclass(frozen=True, eq=False)
class Champion:
    """The model that decides.

    Attributes:
        name: name in conf/models.
        version: version in the registry.
        estimator: the scikit-learn classifier, ready to use; takes a matrix, shape (n, inputs).
        inputs: feature columns it reads, in order.
        metrics: those of its training run.
        cut: clock of its training, UTC microseconds.
        definition: fingerprint of the definition it was trained by.
    """

    name: str
    version: str
    estimator: Any
    inputs: tuple[str, ...]
    metrics: Mapping[str, float]
    cut: int
    definition: str


@dataclass(frozen=True)
class Experiments:
    """Runs and models of one environment.

    Attributes:
        tracking_uri: ``http://host:port`` or ``sqlite:///file``.
        namespace: keeps the environments' names apart.
        artifacts: folder for artefacts; only where no server decides it (sqlite).
    """

    tracking_uri: str
    namespace: str
    artifacts: str | None = None

    @staticmethod
    def of(environment: Environment) -> Experiments:
        """The experiments of an environment."""
        uri = environment.mlflow.tracking_uri
        folder = str(environment.state_folder / "mlflow") if uri.startswith("sqlite:") else None
        return Experiments(uri, environment.mlflow.registry_prefix + environment.namespace, folder)

    def probe(self) -> None:
        """Finds out in seconds whether the server answers.

        Raises:
            UnreachableError: nothing answers there.
            StoreError: something answers, but not as MLflow does.
        """
        parts = urlsplit(self.tracking_uri)
        if parts.scheme not in ("http", "https"):
            return
        shown = _masked(self.tracking_uri)
        hint = "start it with: make up; or set mlflow.tracking_uri in conf/environments"
        try:
            url = f"{self.tracking_uri.rstrip('/')}/health"
            with urlopen(url, timeout=_SECONDS_TO_ANSWER) as answer:  # noqa: S310  (http, above)
                answer.read()
        except HTTPError as error:
            # a hosted server may not know /health, or ask who we are: it is there
            if error.code >= _SERVER_FAILED:
                text = f"MLflow at {shown} answers {error.code} to /health"
                raise StoreError(text, hint=hint) from error
        except OSError as error:
            text = f"MLflow does not answer at {shown}: {error}"
            raise UnreachableError(text, hint=hint) from error

    def log_training(self, record: TrainingRecord) -> Logged:
        """Logs a run and registers its model as a new version, without a decision yet."""
        name = registered_model(self.namespace, record.model)
        with self._client() as client, self._current():
            experiment = self._experiment(client, name)
            with mlflow.start_run(experiment_id=experiment) as run:
                client.set_tag(run.info.run_id, CUT, str(record.cut))
                mlflow.log_params(dict(record.params))
                mlflow.log_metrics(_finite(record.metrics))
                _log_files(record.files)
                info = _log_model(record, name)
            made = str(info.registered_model_version)
            client.set_model_version_tag(name, made, CUT, str(record.cut))
            tag = fingerprint(record.definition)
            client.set_model_version_tag(name, made, DEFINITION, tag)
            return Logged(str(run.info.run_id), made)

    def crown(self, model: str, version: str) -> None:
        """Gives a version the alias champion."""
        name = registered_model(self.namespace, model)
        with self._client() as client:
            client.set_registered_model_alias(name, CHAMPION, version)

    def conclude(self, model: str, version: str, *, decision: str) -> None:
        """Writes the decision about a version: its training is complete."""
        name = registered_model(self.namespace, model)
        with self._client() as client:
            found = client.get_model_version(name, version)
            client.set_tag(str(found.run_id), DECISION, decision)
            client.set_model_version_tag(name, version, DECISION, decision)

    def champion(self, model: str) -> Champion | None:
        """The champion, loaded; None where there is none."""
        name = registered_model(self.namespace, model)
        with self._client() as client:
            found = self._champion_version(client, name)
            if found is None:
                return None
            metrics = client.get_run(str(found.run_id)).data.metrics
            with self._current(), tempfile.TemporaryDirectory(prefix="feldspar-model-") as folder:
                uri = f"models:/{name}/{found.version}"
                estimator = mlflow.sklearn.load_model(uri, dst_path=folder)
        return Champion(
            name=model,
            version=str(found.version),
            estimator=estimator,
            inputs=_inputs(estimator),
            metrics=metrics,
            cut=int(found.tags.get(CUT, "0")),
            definition=found.tags.get(DEFINITION, ""),
        )

    def champion_version(self, model: str) -> str | None:
        """The champion's version, without loading it; None where there is none."""
        with self._client() as client:
            found = self._champion_version(client, registered_model(self.namespace, model))
        return None if found is None else str(found.version)

    def state(self, model: str) -> ModelState | None:
        """The last complete training of a model, and its champion; None where there is none."""
        name = registered_model(self.namespace, model)
        with self._client() as client:
            complete = [one for one in _versions(client, name) if DECISION in one.tags]
            if not complete:
                return None
            last = max(complete, key=lambda one: int(one.version))
            champion = self._champion_version(client, name)
        return ModelState(
            cut=int(last.tags[CUT]),
            definition=last.tags[DEFINITION],
            champion=None if champion is None else str(champion.version),
        )

    def registry_dump(self) -> list[dict[str, Any]]:
        """Every model of this namespace with its versions, as JSON values, oldest first."""
        prefix = registered_model(self.namespace, "")
        with self._client() as client:
            found = client.search_registered_models(filter_string=f"name LIKE '{prefix}%'")
            # LIKE reads the underscore of a namespace as any character
            names = sorted(one.name for one in found if one.name.startswith(prefix))
            return [self._dump(client, name) for name in names]

    def _dump(self, client: MlflowClient, name: str) -> dict[str, Any]:
        champion = self._champion_version(client, name)
        versions = sorted(_versions(client, name), key=lambda one: int(one.version))
        return {
            "model": name.removeprefix(registered_model(self.namespace, "")),
            "registered_as": name,
            "champion": None if champion is None else str(champion.version),
            "versions": [
                {
                    "version": str(one.version),
                    "run_id": one.run_id,
                    "cut": int(one.tags.get(CUT, "0")),
                    "definition": one.tags.get(DEFINITION),
                    "decision": one.tags.get(DECISION),
                    "metrics": dict(client.get_run(str(one.run_id)).data.metrics),
                }
                for one in versions
            ],
        }

    @contextmanager
    def _client(self) -> Iterator[MlflowClient]:
        """A client; what MLflow raises becomes a StoreError, what it chats is not shown.

        It does not say where MLflow's fluent functions look: several threads may have one each.
        """
        self.probe()
        with _quiet():
            try:
                yield MlflowClient(self.tracking_uri, self.tracking_uri)
            except MlflowException as error:
                text = f"MLflow at {_masked(self.tracking_uri)}: {error.message}"
                raise StoreError(text, hint="see: feldspar doctor") from error

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Makes this the place that MLflow's fluent functions mean: one thread at a time."""
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        yield

    def _experiment(self, client: MlflowClient, name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        place = f"{self.artifacts}/{name}" if self.artifacts else None
        return str(client.create_experiment(name, artifact_location=place))

    def _champion_version(self, client: MlflowClient, name: str) -> ModelVersion | None:
        try:
            return client.get_model_version_by_alias(name, CHAMPION)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def _versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    found: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return found


def _log_files(files: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory(prefix="feldspar-run-") as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        if files:
            mlflow.log_artifacts(folder)


def _log_model(record: TrainingRecord, name: str) -> Any:
    answers = record.estimator.predict_proba(record.example)[:, 1]
    return mlflow.sklearn.log_model(
        record.estimator,
        name="model",
        signature=infer_signature(record.example, answers),
        input_example=record.example,
        registered_model_name=name,
        pip_requirements=[f"{one}=={version(one)}" for one in ("scikit-learn", "skops")],
        pyfunc_predict_fn="predict_proba",
        serialization_format="skops",
        skops_trusted_types=_TRUSTED,
    )


def _inputs(estimator: Any) -> tuple[str, ...]:
    """The columns that it was fitted on; from now on it takes a matrix of them.

    Whoever asks it puts them in order by these names. Scikit-learn's comparison of a frame's names
    and types, at each call and in each step, costs more than two hundred trees.
    """
    names = tuple(str(column) for column in estimator.feature_names_in_)
    for one in (estimator, *(step for _, step in getattr(estimator, "steps", ()))):
        vars(one).pop("feature_names_in_", None)
    return names


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _masked(uri: str) -> str:
    return re.sub(r"://([^:/@]+):[^@]+@", r"://\1:***@", uri)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps MLflow's progress chat and its warnings about itself out of the terminal."""
    names = ("mlflow", "alembic")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
