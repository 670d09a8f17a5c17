"""The wheel with its serving extra alone, in an environment of its own: no pyspark, no JVM."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from feldspar.compute.scoring import answer_columns
from feldspar.spec.environment import load_environment
from feldspar.stores.experiments import Experiments
from feldspar.stores.online import OnlineStore
from support.places import REPOSITORY, LocalStack
from support.scoring import Payment, crown_champion, put_features, small_graph
from support.serving_process import serving_process

ENVIRONMENT = """\
namespace: wheel
clock: data
storage: {root: lake}
redis: {url: "${WHEEL_REDIS}"}
mlflow: {tracking_uri: "${WHEEL_MLFLOW}"}
"""
SOURCES = ("lib", "setup.py", "pyproject.toml", "README.md")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment into which the wheel was installed."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, source / name)
    _uv("build", "--wheel", "--out-dir", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    interpreter = folder / "venv" / "bin" / "python"
    _uv("venv", "--python", sys.executable, str(folder / "venv"))
    pinned = ("--constraint", str(REPOSITORY / "requirements.lock"))
    wanted = f"feldspar[serving] @ {wheel.as_uri()}"
    _uv("pip", "install", "--python", str(interpreter), *pinned, wanted)
    return interpreter


def _uv(*words: str) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert uv is not None, "uv is pinned in requirements.lock: make setup"
    done = subprocess.run([uv, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _variables(folder: Path, stack: LocalStack) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {
        **own,
        "FELDSPAR_CONF": str(folder / "conf"),
        "FELDSPAR_ENV": "wheel",
        "WHEEL_REDIS": stack.environment.redis.url,
        "WHEEL_MLFLOW": stack.environment.mlflow.tracking_uri,
    }


def test_it_has_no_spark(python: Path) -> None:
    find = "import importlib.util as u; print([u.find_spec(n) for n in ('pyspark', 'delta')])"
    done = subprocess.run([python, "-I", "-c", find], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[None, None]"


@pytest.mark.stack
def test_it_loads_the_champion_and_scores(python: Path, stack: LocalStack, tmp_path: Path) -> None:
    graph = small_graph(tmp_path)
    (tmp_path / "conf" / "environments").mkdir()
    file = tmp_path / "conf" / "environments" / "wheel.yaml"
    file.write_text(ENVIRONMENT, encoding="utf-8")
    variables, log = _variables(tmp_path, stack), tmp_path / "serving.log"
    environment = load_environment(tmp_path / "conf", "wheel", variables)
    version = crown_champion(graph, environment, "lending")
    with OnlineStore.of(environment) as store:
        put_features(graph, store, {1: [Payment(1, 10.0, 0.5), Payment(2, 30.0, 3.0)]})

    with serving_process(python, variables, log=log) as client:
        asked = {"service": "lending", "customer_id": 1}
        features = client.post("/features", json=asked).json()["features"]
        answer = client.post("/score", json=asked)

    assert answer.status_code == 200, log.read_text(encoding="utf-8")
    champion = Experiments.of(environment).champion("lending")
    assert champion is not None
    row = np.array([[features[name] for name in champion.inputs]], dtype=np.float64)
    wanted = answer_columns("credit_score", champion.estimator.predict_proba(row)[:, 1])
    assert answer.json()["probability"] == pytest.approx(wanted["probability"][0], abs=1e-12)
    assert answer.json()["credit_score"] == wanted["credit_score"][0]
    assert str(answer.json()["model_version"]) == version
