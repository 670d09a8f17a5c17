"""What the local stack remembers between two commands, in one file that only its owner reads.

``values`` is what ``${stack:...}`` means in an environment file (see ``spec.environment``); it
is empty while the stack is down, ports and keys stay.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feldspar.errors import StoreError
from feldspar.spec.environment import STATE_FILE
from feldspar.stack.processes import ProcessId


@dataclass(frozen=True)
class StackState:
    """Ports by use, keys by name, processes by server, and the values for environments."""

    ports: Mapping[str, int] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    processes: Mapping[str, ProcessId] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


def stack_folder(project: Path) -> Path:
    """The folder of the stack's data, logs and state."""
    return (project / STATE_FILE).parent


def load_state(project: Path) -> StackState:
    """The state of the last command; empty when there was none.

    Raises:
        StoreError: the file is damaged.
    """
    path = project / STATE_FILE
    if not path.is_file():
        return StackState()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return _read(content)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} cannot be read: {error}",
            hint=f"remove {path.parent} to begin anew; servers it started may still run",
        ) from error


def save_state(project: Path, state: StackState) -> None:
    """Writes the state for its owner alone (mode 600), whole or not at all."""
    path = project / STATE_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    content = {
        "ports": dict(state.ports),
        "keys": dict(state.keys),
        "processes": {
            name: {"pid": process.pid, "started": process.started}
            for name, process in state.processes.items()
        },
        "values": dict(state.values),
    }
    write_private(draft, json.dumps(content, indent=1))
    os.replace(draft, path)


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _read(content: dict[str, Any]) -> StackState:
    return StackState(
        ports={name: int(port) for name, port in content["ports"].items()},
        keys=content["keys"],
        processes={
            name: ProcessId(int(found["pid"]), float(found["started"]))
            for name, found in content["processes"].items()
        },
        values=content["values"],
    )
