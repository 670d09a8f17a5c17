"""The shape of the code in figures: lines, functions, complexity, mocks. ``make house`` prints it.

Reads sources, imports none of them. The limits are held by ``test_rules``.
"""

from __future__ import annotations

import ast
import io
import json
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = ("lib", "jobs")
MODULE_LINES, FUNCTION_LINES, COMPLEXITY, JOB_LINES = 300, 40, 8, 20
MOCKS = frozenset({"mock", "unittest.mock", "pytest_mock", "monkeypatch", "mocker"})
_SILENT = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    | {tokenize.ENCODING, tokenize.ENDMARKER}
)


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path from the root."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)

    @cached_property
    def code_lines(self) -> frozenset[int]:
        """Lines that hold code: no blank ones, comments or docstrings."""
        lines: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in _SILENT:
                lines.update(range(token.start[0], token.end[0] + 1))
        return frozenset(lines - set(self._docstring_lines()))

    def functions(self) -> Iterator[tuple[str, int]]:
        """Name and place of each function with the code lines of it."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                yield f"{self.name}:{node.lineno} {node.name}", len(self.code_lines & set(span))

    def calls(self) -> Iterator[tuple[int, str]]:
        """Line and dotted name of everything that is called."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield node.lineno, ast.unparse(node.func)

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and dotted name of everything that is imported."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.lineno, node.module or ""
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)

    def _docstring_lines(self) -> Iterator[int]:
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        for node in ast.walk(self.tree):
            if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
                first = node.body[0]
                yield from range(first.lineno, (first.end_lineno or first.lineno) + 1)


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """Every Python file below some folders of the project."""
    return tuple(
        Source(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))
    )


@cache
def complexities() -> tuple[tuple[str, int], ...]:
    """Place and cyclomatic complexity of every function, as ruff counts it."""
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "C901"]
    ruff += ["--config", "lint.mccabe.max-complexity=0", "--output-format", "json", "--exit-zero"]
    folders = [folder for folder in CODE if (ROOT / folder).is_dir()]
    done = subprocess.run([*ruff, *folders], cwd=ROOT, check=True, capture_output=True, text=True)
    found = []
    for one in json.loads(done.stdout):
        place = f"{Path(one['filename']).relative_to(ROOT)}:{one['location']['row']}"
        found.append((place, int(one["message"].rpartition("(")[2].partition(" ")[0])))
    return tuple(found)


def mocking() -> tuple[str, ...]:
    """Test files that replace a part by a mock."""
    return tuple(
        source.name
        for source in sources("tests")
        if not MOCKS.isdisjoint({name for _, name in source.imports()} | _arguments(source))
    )


def _arguments(source: Source) -> set[str]:
    return {node.arg for node in ast.walk(source.tree) if isinstance(node, ast.arg)}


def _spread(values: Iterable[int]) -> str:
    ordered = sorted(values)
    if not ordered:
        return "none"
    high = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    middle = statistics.median(ordered)
    return (
        f"median {middle:g}, 95th percentile {high}, largest {ordered[-1]}, {len(ordered)} in all"
    )


def report() -> Sequence[str]:
    """The figures, a line each."""
    modules = [source for source in sources(*CODE) if source.code_lines]
    tests = sources("tests")
    mocks = mocking()
    share = 100 * len(mocks) / len(tests) if tests else 0
    return (
        f"module, code lines (limit {MODULE_LINES}): "
        + _spread(len(source.code_lines) for source in modules),
        f"function, code lines (limit {FUNCTION_LINES}): "
        + _spread(lines for source in modules for _, lines in source.functions()),
        f"complexity (limit {COMPLEXITY}): " + _spread(count for _, count in complexities()),
        f"test files with a mock: {len(mocks)} of {len(tests)} ({share:.1f} %)",
        (
            f"code lines: {sum(len(source.code_lines) for source in modules)}, "
            f"of tests: {sum(len(source.code_lines) for source in tests)}"
        ),
    )


if __name__ == "__main__":
    sys.stdout.write("\n".join(report()) + "\n")
