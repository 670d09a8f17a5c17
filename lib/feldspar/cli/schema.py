"""``feldspar schema``: writes the JSON Schemas that the modelines of conf/ point at."""

from __future__ import annotations

import json
from pathlib import Path

from feldspar.cli.arguments import DONE, Arguments, Subparsers, add_verb
from feldspar.cli.output import print_json, say
from feldspar.spec.schema import schemas


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb."""
    parser = add_verb(
        subparsers,
        "schema",
        example="feldspar schema\nfeldspar schema --out conf/schema",
        handler=schema,
    )
    parser.add_argument("--out", metavar="FOLDER", help="where to (default: schema below --conf)")


def schema(arguments: Arguments) -> int:
    """Writes one file a kind; files that are right already are left alone."""
    folder = Path(arguments.out) if arguments.out else Path(arguments.conf) / "schema"
    folder.mkdir(parents=True, exist_ok=True)
    written = [name for name, text in _texts().items() if _write(folder / name, text)]
    if arguments.json:
        print_json({"folder": str(folder), "files": sorted(_texts()), "written": written})
    else:
        say(f"{folder}: {len(_texts())} schemas, {len(written)} changed")
    return DONE


def _texts() -> dict[str, str]:
    return {f"{name}.json": f"{json.dumps(one, indent=2)}\n" for name, one in schemas().items()}


def _write(path: Path, text: str) -> bool:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True
