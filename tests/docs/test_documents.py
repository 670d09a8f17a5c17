"""What the documents show works: commands parse, definitions compile, links lead somewhere."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from feldspar.cli.main import main
from feldspar.cli.verbs import VERBS
from feldspar.compute.json_texts import split
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.run.project import Project
from feldspar.serving.app import create_app
from feldspar.serving.backend import Backend
from feldspar.serving.push_tables import push_tables
from feldspar.spec.loading import load_definitions
from feldspar.times import to_micros, utc_now
from support.documents import DOCUMENTS, REPOSITORY, Block, blocks, code_spans, commands, links
from support.places import disk_environment

PUSHES = ("push", "update-features")
OWN_FOLDERS = ("conf/", "lib/", "docs/", "jobs/", "notebooks/", "tests/")
UNIX_TOOLS = ("curl", "export", "source")
PLACEHOLDER = re.compile(r"[<*]|\bN\b")


@pytest.mark.parametrize(
    ("place", "line"), [pytest.param(*one, id=one[0]) for one in commands("feldspar")]
)
def test_every_feldspar_command_is_understood(place: str, line: str, tmp_path: Path) -> None:
    words = shlex.split(line)[1:]
    # without definitions a verb that was understood stops at once; argparse would exit instead
    assert main([*words, "--conf", str(tmp_path / "conf")]) in (1, 2), place


@pytest.mark.parametrize(
    ("place", "line"), [pytest.param(*one, id=one[0]) for one in commands("make")]
)
def test_every_make_command_has_its_target(place: str, line: str) -> None:
    words = shlex.split(line)
    command = ["make", "--dry-run", *words[1:]]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, f"{place}: {done.stderr}"


@pytest.mark.parametrize(
    ("place", "line"), [pytest.param(*one, id=one[0]) for one in commands("curl")]
)
def test_every_curl_command_sends_a_valid_request_to_an_endpoint(
    place: str, line: str, tmp_path: Path
) -> None:
    words = shlex.split(line)
    body = words[words.index("-d") + 1]
    path = next(word for word in words if word.startswith("localhost")).partition("/")[2]
    graph = compile_graph(load_definitions(REPOSITORY / "conf", os.environ))
    verb, _, source = path.partition("/")
    if verb in PUSHES:
        assert _row_problems(graph, source if verb == "push" else "", body) == [], place
        return
    app = create_app(Backend(graph, disk_environment(tmp_path)))
    endpoints = {getattr(one, "path", ""): one for one in app.routes}
    assert f"/{path}" in endpoints, place
    model = endpoints[f"/{path}"].endpoint.__annotations__["body"]
    assert TypeAdapter(model).validate_json(body), place


def _row_problems(graph: Graph, source: str, body: str) -> list[str]:
    """What is wrong with a row, or with columns of the source that updates go to."""
    tables, texts = push_tables(graph), split(body) or {}
    if not source:
        table = tables["real_time_push_source"].table
        return [name for name in texts if name not in table.spec.columns]
    return list(tables[source].judge.judge(texts, known=to_micros(utc_now())).reasons)


def test_every_shell_line_is_checked_by_one_of_these_tests() -> None:
    known = ("feldspar", "make", *UNIX_TOOLS)
    lines = [line for block in blocks("shell") for line in block.text.splitlines() if line.strip()]
    assert [line for line in lines if line.split(" ", 1)[0] not in known] == []


def test_definitions_shown_compile_with_the_example(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(REPOSITORY / "conf", conf)
    for block in blocks("yaml"):
        first, _, text = block.text.partition("\n")
        place = tmp_path / first.removeprefix("# ")
        assert place.suffix == ".yaml", f"{block}: the first line names no file"
        place.write_text(text, encoding="utf-8")
    # raises with file and line where a definition is wrong
    assert compile_graph(load_definitions(conf, os.environ)).views


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_shown_names_what_is_there(block: Block) -> None:
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, one.name) for one in node.names), block
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id != "project" or hasattr(Project, node.attr), block


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    missing = [one for one in links(path) if not (path.parent / one.partition("#")[0]).exists()]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_and_folders_that_are_named_exist(path: Path) -> None:
    named = [one.partition(":")[0] for one in code_spans(path) if one.startswith(OWN_FOLDERS)]
    firm = [one for one in named if not PLACEHOLDER.search(one) and " " not in one]
    assert [one for one in firm if not (REPOSITORY / one).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_verbs_that_are_named_exist(path: Path) -> None:
    named = [span.split()[1:3] for span in code_spans(path) if re.match(r"feldspar [a-z]", span)]
    unknown = [words for words in named if not {words[0], " ".join(words)} & set(VERBS)]
    assert unknown == []
