"""Runs a generator source: the hook writes files, and a manifest when all are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from feldspar.compute.services.hooks import call_hook
from feldspar.graph.canonical import canonical
from feldspar.graph.steps import GenerateStep
from feldspar.names import GENERATED
from feldspar.spec.source import GeneratorSource


@dataclass(frozen=True)
class GenerateResult:
    """Where the files are."""

    source: str
    folder: str


def generate(
    step: GenerateStep, source: GeneratorSource, *, root: Path, progress: Callable[[str], None]
) -> GenerateResult:
    """Writes the files; a folder without the finishing mark is written again from the start."""
    folder = root / source.folder
    progress(f"{step.name}: writing to {source.folder}")
    call_hook(source.hook, folder, source.options, progress=progress)
    mark = folder / GENERATED
    mark.write_text(canonical(source.options), encoding="utf-8")
    return GenerateResult(source=step.source, folder=source.folder)
