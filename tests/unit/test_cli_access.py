"""What ``serve`` refuses before it starts a server, and ``doctor`` tells of the same block."""

from __future__ import annotations

from pathlib import Path

import pytest

from feldspar.cli.access import refuse_wrong_access
from feldspar.cli.main import main
from feldspar.errors import UsageError
from feldspar.graph.compile import compile_graph
from feldspar.spec.loading import load_definitions
from feldspar.spec.serving import ServingSpec
from support.places import disk_environment
from support.small_project import write_project

ENVIRONMENT = """namespace: mine
storage: {root: lake}
redis: {url: 'redis://127.0.0.1:1/0'}
mlflow: {tracking_uri: 'sqlite:///x.db'}
"""
KEYS = """serving:
  keys: {portal: {sha256: '${PORTAL_SHA256:-}', actions: read, services: fraudd}}
"""


def write(folder: Path, block: str) -> list[str]:
    conf = write_project(folder, {"environments/mine.yaml": ENVIRONMENT + block})
    return ["--conf", str(conf), "--env", "mine"]


@pytest.mark.parametrize(
    ("block", "host", "said"),
    [
        ("", "0.0.0.0", "environment mine asks nobody who they are, and 0.0.0.0 is reached"),
        ("serving: {access: open}\n", "10.0.0.7", "listen on 127.0.0.1"),
        (KEYS, "127.0.0.1", "mine.yaml: serving.keys.portal has no value"),
        ("serving: {access: restricted}\n", "127.0.0.1", "no caller is named"),
    ],
)
def test_serve_refuses_what_lets_strangers_in_or_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], block: str, host: str, said: str
) -> None:
    code = main(["serve", "--host", host, *write(tmp_path, block)])

    assert (code, said in capsys.readouterr().err) == (2, True)


def test_serve_refuses_grants_of_what_is_not_there(tmp_path: Path) -> None:
    graph = compile_graph(load_definitions(write_project(tmp_path), {}))
    keys = {"portal": {"secret": "p" * 32, "actions": "read", "services": "fraudd"}}
    update = {"serving": ServingSpec.model_validate({"keys": keys})}
    environment = disk_environment(tmp_path).model_copy(update=update)

    with pytest.raises(UsageError, match=r"portal\.services: .* no 'fraudd'\n  it has: fraud"):
        refuse_wrong_access(environment, graph, host="127.0.0.1")


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("", "ok    serving  open, to this machine alone"),
        (KEYS, "FAIL  serving  serving.keys.portal has no value"),
        (KEYS.replace("fraudd", "fraud").replace(":-", f":-{'a' * 64}"), "restricted to portal"),
    ],
)
def test_doctor_tells_who_may_ask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], block: str, said: str
) -> None:
    main(["doctor", *write(tmp_path, block)])

    assert said in capsys.readouterr().out
