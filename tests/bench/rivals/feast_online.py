"""Feast's online side, run by the rivals' Python: definitions and values, for its own server.

``python feast_online.py FOLDER HOST:PORT`` reads ``FOLDER/<view>.parquet`` (customer_id,
event_time, features), puts the values into Redis and leaves a repository in FOLDER that
``feast --chdir FOLDER serve`` serves.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

KEY, TIME, SERVICE = "customer_id", "event_time", "wide"
_CONFIG = """\
project: bench
provider: local
registry: registry.db
online_store: {{type: redis, connection_string: "{address}"}}
offline_store: {{type: file}}
entity_key_serialization_version: 3
"""


def main(folder: Path, address: str) -> None:
    """Writes the repository, and every row into Redis."""
    (folder / "feature_store.yaml").write_text(_CONFIG.format(address=address), encoding="utf-8")
    store = FeatureStore(repo_path=str(folder))
    customer = Entity(name="customer", join_keys=[KEY], value_type=ValueType.INT64)
    files = sorted(folder.glob("*.parquet"))
    views = [_view(file, customer) for file in files]
    store.apply([customer, *views, FeatureService(name=SERVICE, features=views)])
    for view, file in zip(views, files, strict=True):
        store.write_to_online_store(view.name, df=pd.read_parquet(file))


def _view(file: Path, customer: Entity) -> FeatureView:
    names = [name for name in pd.read_parquet(file).columns if name not in (KEY, TIME)]
    return FeatureView(
        name=file.stem,
        entities=[customer],
        ttl=timedelta(0),
        schema=[Field(name=name, dtype=Float64) for name in names],
        source=FileSource(name=f"{file.stem}_file", path=str(file), timestamp_field=TIME),
        online=True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
