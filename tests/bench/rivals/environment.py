"""The environment of the rivals that the project does not depend on, under out/bench/rivals."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def rivals_python(folder: Path, *, progress: Callable[[str], None]) -> Path:
    """Its Python; made when it is not there, or when the requirements have changed."""
    home = folder / "rivals"
    python, stamp = home / "bin" / "python", home / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    progress(f"installing the rivals into {home}")
    uv = [sys.executable, "-m", "uv"]
    if not python.exists():
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, home], check=True)
    install = [*uv, "pip", "sync", "--quiet", "--compile-bytecode", "--python", str(python)]
    subprocess.run([*install, str(REQUIREMENTS)], check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return python
