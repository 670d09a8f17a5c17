"""Training sets, training and batch scoring on a small lake, with a real MLflow on sqlite."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from feldspar.errors import InputError, StoreError, UsageError
from feldspar.spec.environment import Environment
from feldspar.stores.experiments import Experiments
from feldspar.stores.tables import arrow
from feldspar.training.manifest import Manifest
from feldspar.training.result import TrainingResult
from feldspar.training.run import train
from feldspar.training.score import score
from feldspar.training.sets import training_set
from support.small_lake import CUT, DAY, SmallLake, small_lake

PAYMENT = pa.schema(
    [
        ("transaction_id", pa.int64()),
        ("tx_datetime", pa.timestamp("us", tz="UTC")),
        ("customer_id", pa.int32()),
    ]
)


@pytest.fixture(scope="module")
def lake(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> SmallLake:
    own = disk.model_copy(update={"namespace": "t_training"})
    return small_lake(spark, own, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> Experiments:
    folder = tmp_path_factory.mktemp("mlflow")
    return Experiments(f"sqlite:///{folder / 'runs.db'}", "t_training", str(folder / "artefacts"))


@pytest.fixture(scope="module")
def trained(lake: SmallLake, experiments: Experiments) -> TrainingResult:
    return _train(lake, experiments, clock=CUT)


def _train(lake: SmallLake, experiments: Experiments, *, clock: int) -> TrainingResult:
    model = lake.graph.model("fraud")
    return train(
        model,
        lake.graph.table("transactions"),
        lake.tables,
        experiments=experiments,
        clock=clock,
        progress=list[str]().append,
    )


def _spine(lake: SmallLake, folder: Path, **extra: list[object]) -> str:
    """Three payments as a Parquet file: keys, time, event id, and what else is given."""
    table = lake.tables.read("silver", "transactions").where("transaction_id in (5, 97, 2000)")
    rows = (
        table.where("_batch = 1")
        .orderBy("transaction_id")
        .select("transaction_id", "tx_datetime", F.col("customer_id").cast("int"))
        .toArrow()
        .cast(PAYMENT)
    )
    for name, values in extra.items():
        rows = rows.append_column(name, pa.array(values))
    path = folder / "spine.parquet"
    pq.write_table(rows, path)
    return str(path)


def test_a_training_set_keeps_the_spine_and_its_extra_columns(
    lake: SmallLake, tmp_path: Path
) -> None:
    out = tmp_path / "set.parquet"
    spine = _spine(lake, tmp_path, remark=["a", "b", "c"])

    _set(lake, spine=spine, out=str(out))

    found = pq.read_table(out).sort_by("transaction_id")
    assert found.column("remark").to_pylist() == ["a", "b", "c"]


def test_request_columns_that_the_spine_lacks_are_those_of_the_first_version(
    lake: SmallLake, tmp_path: Path
) -> None:
    out = tmp_path / "set.parquet"

    _set(lake, spine=_spine(lake, tmp_path), out=str(out))

    found = pq.read_table(out).sort_by("transaction_id")
    first = lake.tables.read("silver", "transactions").where(
        "transaction_id in (5, 97, 2000) and _batch = 1"
    )
    expected = first.orderBy("transaction_id").toArrow().column("amount").to_pylist()
    assert found.column("amount").to_pylist() == expected


def test_the_manifest_names_every_table_with_its_version(lake: SmallLake, tmp_path: Path) -> None:
    manifest = _set(lake, spine=_spine(lake, tmp_path), out=str(tmp_path / "set.parquet"))

    assert set(manifest.tables) == {
        "gold.customer_spend",
        "gold.last_payment",
        "silver.transactions",
    }


def test_the_hash_of_a_spine_does_not_depend_on_the_order_of_its_rows(
    lake: SmallLake, tmp_path: Path
) -> None:
    spine = Path(_spine(lake, tmp_path))
    backwards = tmp_path / "backwards.parquet"
    pq.write_table(pq.read_table(spine).take([2, 1, 0]), backwards)

    hashes = {
        _set(lake, spine=str(one), out=str(tmp_path / f"{number}.parquet")).spine_hash
        for number, one in enumerate((spine, backwards))
    }

    assert len(hashes) == 1


def test_a_spine_without_a_key_is_refused_with_the_nearest_names(
    lake: SmallLake, tmp_path: Path
) -> None:
    spine = tmp_path / "spine.parquet"
    rows = pq.read_table(_spine(lake, tmp_path)).rename_columns(
        ["transaction_id", "at", "customer"]
    )
    pq.write_table(rows, spine)

    with pytest.raises(InputError, match="no column 'customer_id'; nearest: customer"):
        _set(lake, spine=str(spine), out=str(tmp_path / "set.parquet"))


def test_other_layers_are_not_written_to(lake: SmallLake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only tables of the layer training"):
        _set(lake, spine=_spine(lake, tmp_path), out="silver.mine")


def test_the_first_model_that_beats_a_constant_is_champion(
    trained: TrainingResult, experiments: Experiments
) -> None:
    champion = experiments.champion("fraud")

    assert trained.decision.promoted
    assert champion is not None
    assert champion.version == trained.version


def test_what_was_trained_is_remembered(
    lake: SmallLake, trained: TrainingResult, experiments: Experiments
) -> None:
    state = experiments.state("fraud")

    assert state is not None
    assert state.cut == trained.cut == CUT


def test_rows_are_capped_and_say_so(trained: TrainingResult) -> None:
    assert sum(trained.rows[name] for name in ("search", "validate")) <= 1_000
    assert "kept, with weights" in trained.sampled or max(trained.rows.values()) < 1_000


def test_the_test_window_is_judged_on_its_own_days(trained: TrainingResult) -> None:
    assert trained.periods["test"] == "2018-05-02 to 2018-05-08"


def test_a_late_payment_is_not_learnt_from_before_it_arrived(
    lake: SmallLake, trained: TrainingResult
) -> None:
    dataset = arrow.dataset(lake.tables.lake, "training", "fraud", version=trained.table)
    rows = dataset.to_table(columns=["_event_time", "_label_known"])

    known = rows.column("_label_known").cast(pa.int64()).to_numpy()
    event = rows.column("_event_time").cast(pa.int64()).to_numpy()
    assert (known - event >= 7 * DAY).all()
    assert (known <= CUT).all()


def test_an_equal_model_does_not_replace_the_champion(
    lake: SmallLake, trained: TrainingResult, experiments: Experiments
) -> None:
    again = _train(lake, experiments, clock=CUT)

    assert not again.decision.promoted
    assert again.decision.champion == pytest.approx(again.decision.challenger)


def test_periods_without_rows_are_told_with_their_days(
    lake: SmallLake, experiments: Experiments
) -> None:
    with pytest.raises(InputError, match="no rows with a mature label"):
        _train(lake, experiments, clock=CUT + 400 * DAY)


def test_scores_are_probabilities_of_the_champion(
    lake: SmallLake, trained: TrainingResult, experiments: Experiments, tmp_path: Path
) -> None:
    out = tmp_path / "scores.parquet"

    _score(lake, experiments, spine=_spine(lake, tmp_path, remark=["a", "b", "c"]), out=str(out))

    found = pq.read_table(out).sort_by("transaction_id")
    assert found.column("remark").to_pylist() == ["a", "b", "c"]
    assert set(found.column("model_version").to_pylist()) == {trained.version}
    assert all(0 <= value <= 1 for value in found.column("probability").to_pylist())


def test_scoring_without_a_champion_names_the_command(
    lake: SmallLake, experiments: Experiments, tmp_path: Path
) -> None:
    other = Experiments(experiments.tracking_uri, "t_nobody", experiments.artifacts)

    with pytest.raises(StoreError, match="has no champion"):
        _score(lake, other, spine=_spine(lake, tmp_path), out=str(tmp_path / "scores.parquet"))


def _set(lake: SmallLake, *, spine: str, out: str) -> Manifest:
    return training_set(
        lake.graph.service("fraud"),
        lake.graph.table("transactions"),
        lake.tables,
        spine=spine,
        out=out,
    )


def _score(lake: SmallLake, experiments: Experiments, *, spine: str, out: str) -> None:
    score(
        lake.graph.model("fraud"),
        lake.graph.table("transactions"),
        lake.tables,
        experiments=experiments,
        spine=spine,
        out=out,
    )
