"""``python -m feldspar.serving`` as a process of its own, configured by files and variables."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from feldspar.stores.online import OnlineStore
from support.scoring import NOON, Payment, environment_with, put_features, small_graph
from support.serving_process import serving_process
from support.valkey import valkey

ENVIRONMENT = """\
namespace: shop
clock: data
storage: {root: lake}
redis: {url: "${SHOP_REDIS}"}
mlflow: {tracking_uri: "${SHOP_MLFLOW}"}
"""


def _variables(folder: Path, url: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "FELDSPAR_CONF": str(folder / "conf"),
        "FELDSPAR_ENV": "shop",
        "SHOP_REDIS": url,
        "SHOP_MLFLOW": f"sqlite:///{folder / 'mlflow.db'}",
    }


def _write(folder: Path) -> None:
    place = folder / "conf" / "environments"
    place.mkdir(parents=True)
    (place / "shop.yaml").write_text(ENVIRONMENT, encoding="utf-8")


def test_the_process_serves_the_project_that_variables_name(tmp_path: Path) -> None:
    graph = small_graph(tmp_path)
    _write(tmp_path)
    with valkey(tmp_path / "valkey") as server:
        with OnlineStore.of(environment_with(tmp_path, server.url, "shop")) as store:
            put_features(graph, store, {1: [Payment(1, 10.0, 0.5)]})
        variables, log = _variables(tmp_path, server.url), tmp_path / "serving.log"
        with serving_process(Path(sys.executable), variables, log=log) as client:
            answer = client.post("/features", json={"service": "lending", "customer_id": 1})

    assert answer.status_code == 200, log.read_text(encoding="utf-8")
    assert answer.json()["timestamp"] == NOON.isoformat().replace("+00:00", "Z")
