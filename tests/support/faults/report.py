"""What runs of faults came to: a file a seed under out/faults, and all as JSON and a page."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from support.faults.points import POINTS
from support.faults.seeded import KINDS, SECOND, WIPED, Outcome, disturbances

_NO_POINTS = {
    WIPED: "Redis loses everything after a run.",
    SECOND: "Two runs are started at the same time.",
}

_PAGE = """\
<!doctype html><html lang="en"><meta charset="utf-8"><title>Faults</title>
<style>body{{font:15px/1.5 system-ui;max-width:52rem;margin:2rem auto;padding:0 1rem}}
table{{border-collapse:collapse}}
td,th{{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ccc}}</style>
<h1>{seeds} seeds, {rows:,} rows, {faults} faults, {differences} differences</h1>
<table><tr><th>a run was killed, or disturbed</th><th>when</th><th>times</th></tr>{kinds}</table>
<h2>Seeds</h2>
<table><tr><th>seed</th><th>in this order</th><th>rows</th><th>differences</th></tr>{runs}
</table>
</html>
"""


def load(folder: Path, seed: int) -> Outcome | None:
    """What a seed came to when it was run before; None where it is to be run (again): it was not,
    it differed, or another set of faults was drawn.
    """
    path = _path(folder, seed)
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["differences"] or found.get("drawn") != list(disturbances(seed)):
        return None
    return Outcome(found["seed"], tuple(found["drawn"]), tuple(found["hit"]), found["rows"])


def save(folder: Path, outcome: Outcome) -> None:
    """Keeps what a seed came to; a process that is killed meanwhile leaves no half of it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = _path(folder, outcome.seed)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(outcome), indent=1), encoding="utf-8")
    draft.replace(path)


def write(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """report.json and report.html of all seeds."""
    hits = hits_of(outcomes)
    facts = {
        "seeds": len(outcomes),
        "rows": sum(one.rows for one in outcomes),
        "faults": sum(hits.values()),
        "differences": sum(len(one.differences) for one in outcomes),
    }
    report = {**facts, "hit": hits, "runs": [asdict(one) for one in outcomes]}
    (folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    kinds = "".join(
        _row(name.replace("_", " "), _when(name), str(number)) for name, number in hits.items()
    )
    runs = "".join(_run(one) for one in outcomes)
    page = _PAGE.format(**facts, kinds=kinds, runs=runs)
    (folder / "report.html").write_text(page, encoding="utf-8")


def hits_of(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How often each kind of fault was met."""
    counted = Counter(name for one in outcomes for name in one.hit)
    return {name: counted[name] for name in KINDS}


def _when(name: str) -> str:
    return _NO_POINTS.get(name) or " ".join((POINTS[name].__doc__ or "").split())


def _path(folder: Path, seed: int) -> Path:
    return folder / f"seed-{seed}.json"


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def _run(one: Outcome) -> str:
    hit = ", ".join(name.replace("_", " ") for name in one.hit)
    return _row(str(one.seed), hit, f"{one.rows:,}", "; ".join(one.differences) or "none")
