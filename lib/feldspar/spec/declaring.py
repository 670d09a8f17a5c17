"""Writes a column into a table's file, and leaves the rest of its text as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from feldspar.errors import UsageError
from feldspar.spec.reading import read_document
from feldspar.spec.types import ColumnType

_PLAIN = re.compile(r"^[A-Za-z_]\w*$")


def declare_column(path: Path, name: str, kind: ColumnType) -> int:
    """Adds an optional column after the last one that conf/tables/<table>.yaml declares.

    Returns:
        The number of its line.

    Raises:
        UsageError: the file writes its columns in another way than a line each.
    """
    columns = read_document(path, root=path.parent, variables={}).tree.get("columns")
    key = name if _PLAIN.match(name) else f"'{name}'"
    line = f"{key}: {{type: {kind.value}, optional: true}}"
    if not isinstance(columns, CommentedMap) or columns.fa.flow_style() or not columns:
        raise UsageError(
            f"{path}: its columns are not written a line each, so none was added",
            hint=f"add it by hand: {line}",
        )
    after = _last_line(columns)
    indent = " " * int(columns.lc.col)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if not lines[after].endswith("\n"):
        lines[after] += "\n"
    lines.insert(after + 1, f"{indent}{line}\n")
    path.write_text("".join(lines), encoding="utf-8")
    return after + 2


def _last_line(node: Any) -> int:
    """The last line (from 0) on which something of a node begins."""
    match node:
        case CommentedMap():
            places = [max(int(node.lc.key(key)[0]), _last_line(node[key])) for key in node]
        case CommentedSeq():
            places = [
                max(int(node.lc.item(index)[0]), _last_line(one)) for index, one in enumerate(node)
            ]
        case _:
            places = []
    return max(places, default=-1)
