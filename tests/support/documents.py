"""The project's Markdown files, and the fenced blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = (
    REPOSITORY / "README.md",
    REPOSITORY / "CHANGELOG.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the file it starts on."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(language: str) -> list[Block]:
    """Every block of one language, in all documents."""
    return [block for path in DOCUMENTS for block in _blocks(path) if block.language == language]


def _blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(REPOSITORY).as_posix()
    return [
        Block(name, text.count("\n", 0, found.start()) + 2, found.group(1), found.group(2))
        for found in _BLOCK.finditer(text)
    ]


def commands(program: str) -> list[tuple[str, str]]:
    """(place, command line) of every line of a shell block that starts a program."""
    return [
        (f"{block.document}:{block.line + number}", line.strip())
        for block in blocks("shell")
        for number, line in enumerate(block.text.splitlines())
        if line.split(" ", 1)[0] == program
    ]


def links(path: Path) -> list[str]:
    """Targets of the links of a document, without those to other hosts and within the page."""
    targets = _LINK.findall(_BLOCK.sub("", path.read_text(encoding="utf-8")))
    return [target for target in targets if "://" not in target and not target.startswith("#")]


def code_spans(path: Path) -> list[str]:
    """What stands between single backticks outside fenced blocks."""
    return _CODE.findall(_BLOCK.sub("", path.read_text(encoding="utf-8")))
