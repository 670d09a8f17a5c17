"""Import contracts hold, and bite: a copy of the sources is given one violation of each kind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from house.figures import ROOT

# planted module -> what it must not import, and the contract that says so
PLANTED = {
    "feldspar.spec.planted_upwards": ("feldspar.graph.graph", "Each layer knows"),
    "feldspar.ingest.planted_sibling": ("feldspar.refine.table", "Each layer knows"),
    "feldspar.cli.planted_top": ("feldspar.run.execute", "Each layer knows"),
    "feldspar.spec.planted_spark": ("pyspark.sql", "What answers without a JVM"),
    "feldspar.cli.planted_detour": ("feldspar.stores.tables.spark", "What answers without a JVM"),
    "feldspar.compute.planted.online": (
        "feldspar.compute.windows.batch",
        "What answers without a JVM",
    ),
    "feldspar.training.planted_mlflow": ("mlflow", "S3, Redis, Kafka, databases"),
    "feldspar.training.planted_redis": ("redis", "S3, Redis, Kafka, databases"),
    "feldspar.ingest.planted_kafka": ("confluent_kafka", "S3, Redis, Kafka, databases"),
    "feldspar.ingest.planted_psycopg": ("psycopg", "S3, Redis, Kafka, databases"),
    "feldspar.stores.planted_http": ("fastapi", "Only serving knows HTTP"),
    "feldspar.compute.planted_checks": ("great_expectations", "Great Expectations stays"),
    "feldspar.training.planted_tuner": ("hyperopt", "hyperopt stays"),
    "feldspar.spec.planted_example": ("payments.on_demand", "The platform does not know"),
    "feldspar.compute.windows.planted_a": (
        "feldspar.compute.windows.planted_b",
        "No import cycles",
    ),
    "feldspar.compute.windows.planted_b": (
        "feldspar.compute.windows.planted_a",
        "No import cycles",
    ),
}
NEW_LAYER = "feldspar.utils.planted"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "lib"), "PATH": "", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the contracts say of a copy with every violation in it."""
    project = tmp_path_factory.mktemp("planted")
    shutil.copy(ROOT / "pyproject.toml", project)
    shutil.copytree(ROOT / "lib", project / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    for module, wanted in {
        **{name: one for name, (one, _) in PLANTED.items()},
        NEW_LAYER: "json",
    }.items():
        path = (project / "lib").joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(f"import {wanted}\n", encoding="utf-8")
    return lint(project).stdout


def test_contracts_hold() -> None:
    done = lint(ROOT)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", PLANTED)
def test_a_forbidden_import_is_found(module: str, said: str) -> None:
    contract = PLANTED[module][1]
    verdict = next(line for line in said.splitlines() if line.startswith(contract))

    assert (" BROKEN" in verdict, module.rpartition(".")[2] in said) == (True, True), said


def test_a_folder_without_a_layer_is_found(said: str) -> None:
    assert "utils" in said
