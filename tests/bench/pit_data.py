"""Seeded spine and views for the point-in-time benchmark, streamed to plain, shuffled Parquet.

Times of a view are distinct, so that no rival's way with ties shows in its answer: the span is cut
into as many slots as there are rows, and a row number is led to its slot by an affine permutation
(its order in the files has nothing to do with time or entity). Nothing is ever whole in memory.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bench.inputs import DAY_MICROS, ENTITY, KNOWN, ROW, TIME, PitData, View, as_document

TTL_DAYS = 90
SPAN_DAYS = 180
LATE_DAYS = 10
UNKNOWN_SHARE = 0.02
START = 1_704_067_200_000_000
CHUNK, FILE = 131_072, 1_048_576
INSTANT = pa.timestamp("us", tz="UTC")

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PitShape:
    """Size and form of one data set; the same shape gives the same bytes.

    Attributes:
        spine_rows, view_rows: rows of the spine and of each view.
        views: number of views.
        features: doubles in all views together, spread evenly.
        rows_an_entity: mean rows of an entity in a view; sets the number of entities.
        hot_share: share of all rows, of the spine's too, that one entity holds.
        late_share: share of rows that become known up to ten days after they happened.
        first_day, days: the views' span.
        seed: another seed gives other data of the same kind.
    """

    spine_rows: int = 200_000
    view_rows: int = 2_000_000
    views: int = 3
    features: int = 30
    rows_an_entity: float = 20
    hot_share: float = 0.0
    late_share: float = 0.0
    first_day: int = 0
    days: int = SPAN_DAYS
    seed: int = 7

    @property
    def entities(self) -> int:
        return max(1, round(self.view_rows / self.rows_an_entity))

    @property
    def key(self) -> str:
        """Names the data set on disk."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def scaled(self, scale: float) -> PitShape:
        """The same form with other numbers of rows."""
        rows = (max(1_000, round(count * scale)) for count in (self.spine_rows, self.view_rows))
        spine_rows, view_rows = rows
        return replace(self, spine_rows=spine_rows, view_rows=view_rows)

    def increment(self) -> PitShape:
        """One per cent more rows of the same entities, newer than all of these."""
        return replace(
            self,
            spine_rows=1_000,
            view_rows=max(100, self.view_rows // 100),
            rows_an_entity=max(100, self.view_rows // 100) / self.entities,
            first_day=self.first_day + self.days,
            days=2,
            seed=self.seed + 1,
        )


def make(shape: PitShape, folder: Path) -> PitData:
    """The data set in ``folder``/<key>; one that is complete stays as it is."""
    home = folder / f"pit-{shape.key}"
    names = _feature_names(shape)
    views = tuple(
        View(f"v{index}", str(home / f"v{index}"), columns) for index, columns in enumerate(names)
    )
    data = PitData(home.name, str(home / "spine"), views, TTL_DAYS)
    finished = home / "complete.json"
    if not finished.exists():
        _write(home / "spine", _spine_chunks(shape))
        for index, view in enumerate(views):
            _write(Path(view.folder), _view_chunks(shape, index, view.features))
        finished.write_text(json.dumps({**as_document(data), "shape": asdict(shape)}, indent=1))
    return data


def _feature_names(shape: PitShape) -> list[tuple[str, ...]]:
    per_view = [len(part) for part in np.array_split(np.arange(shape.features), shape.views)]
    return [
        tuple(f"v{view}_f{number:03d}" for number in range(count))
        for view, count in enumerate(per_view)
    ]


def _write(folder: Path, chunks: Iterator[pa.Table]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    writer, rows, files = None, 0, 0
    for chunk in chunks:
        if writer is None or rows >= FILE:
            if writer is not None:
                writer.close()
            path = folder / f"part-{files:05d}.parquet"
            writer = pq.ParquetWriter(
                path, chunk.schema, compression="snappy", use_dictionary=False
            )
            rows, files = 0, files + 1
        writer.write_table(chunk)
        rows += chunk.num_rows
    if writer is not None:
        writer.close()


def _chunks(rows: int) -> Iterator[tuple[int, Longs]]:
    """Number and row numbers of each chunk."""
    for number, first in enumerate(range(0, rows, CHUNK)):
        yield number, np.arange(first, min(rows, first + CHUNK), dtype=np.int64)


def _spine_chunks(shape: PitShape) -> Iterator[pa.Table]:
    known = math.ceil(shape.entities * (1 + UNKNOWN_SHARE))
    first, days = shape.first_day + shape.days // 6, shape.days - shape.days // 6
    for number, row in _chunks(shape.spine_rows):
        draw = np.random.default_rng([shape.seed, 1_000, number])
        time = START + first * DAY_MICROS + draw.integers(0, days * DAY_MICROS, len(row))
        entity = _entities(draw, len(row), count=known, hot_share=shape.hot_share)
        yield pa.table({ROW: row, ENTITY: entity, TIME: pa.array(time, INSTANT)})


def _view_chunks(shape: PitShape, index: int, names: tuple[str, ...]) -> Iterator[pa.Table]:
    width = shape.days * DAY_MICROS // shape.view_rows
    step = _coprime(shape.view_rows)
    start = START + shape.first_day * DAY_MICROS
    for number, row in _chunks(shape.view_rows):
        draw = np.random.default_rng([shape.seed, index, number])
        slot = (row * step + 17 * index) % shape.view_rows
        time = start + slot * width + draw.integers(0, width, len(row))
        late = draw.random(len(row)) < shape.late_share
        known = time + np.where(late, draw.integers(1, LATE_DAYS * DAY_MICROS, len(row)), 0)
        entity = _entities(draw, len(row), count=shape.entities, hot_share=shape.hot_share)
        columns = {ENTITY: entity, TIME: pa.array(time, INSTANT), KNOWN: pa.array(known, INSTANT)}
        yield pa.table(columns | {name: draw.random(len(row)) for name in names})


def _entities(draw: np.random.Generator, rows: int, *, count: int, hot_share: float) -> Longs:
    entity = draw.integers(0, count, rows, dtype=np.int64)
    return np.where(draw.random(rows) < hot_share, 0, entity)


def _coprime(rows: int) -> int:
    """A step that visits every slot once, and neighbours far apart."""
    step = max(1, int(rows * 0.618))
    while math.gcd(step, rows) > 1:
        step += 1
    return step
