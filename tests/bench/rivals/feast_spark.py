"""Feast on Spark through its own API: definitions, apply, get_historical_features, to Parquet."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureStore, FeatureView, Field, RepoConfig, ValueType
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.types import Float64

from bench.inputs import ENTITY, TIME, PitData, View
from bench.rivals.engine import Job
from bench.rivals.spark_engine import SparkEngine


class FeastSpark(SparkEngine[PitData]):
    """Feast takes the session that is active; its registry is the layout."""

    def prepare(self, data: PitData, layout: Path) -> None:
        entity = Entity(name="entity", join_keys=[ENTITY], value_type=ValueType.INT64)
        views = [_view(view, entity, ttl_days=data.ttl_days) for view in data.views]
        self._store(layout).apply([entity, *views])

    def run(self, job: Job[PitData]) -> None:
        retrieval = self._store(job.layout).get_historical_features(
            entity_df=self.spark.read.parquet(job.data.spine),
            features=[f"{view.name}:{name}" for view in job.data.views for name in view.features],
        )
        retrieval.to_spark_df().write.parquet(str(job.out))

    def _store(self, folder: Path) -> FeatureStore:
        return FeatureStore(
            config=RepoConfig(
                project="bench",
                provider="local",
                registry=str(folder / "registry.db"),
                offline_store={"type": "spark"},
                online_store=None,
                entity_key_serialization_version=3,
            )
        )


def _view(view: View, entity: Entity, *, ttl_days: int) -> FeatureView:
    return FeatureView(
        name=view.name,
        entities=[entity],
        ttl=timedelta(days=ttl_days),
        schema=[Field(name=name, dtype=Float64) for name in view.features],
        source=SparkSource(
            name=f"{view.name}_source",
            path=view.folder,
            file_format="parquet",
            timestamp_field=TIME,
        ),
        online=False,
    )
