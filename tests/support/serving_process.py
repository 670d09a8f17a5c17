"""``python -m feldspar.serving`` as a process of its own, by any interpreter that has Feldspar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from feldspar.stack.ports import HOST, free_port
from feldspar.stack.processes import ended_within, spawn, stop

_POLL_SECONDS = 0.2
_TRIES = 600


@contextmanager
def serving_process(
    python: Path, variables: Mapping[str, str], *, log: Path
) -> Iterator[httpx.Client]:
    """A client of the process, once it answers; what it said is in ``log``."""
    port = free_port(())
    command = [str(python), "-m", "feldspar.serving", "--host", HOST, "--port", str(port)]
    process = spawn(command, variables=dict(variables), log=log)
    try:
        url = f"http://{HOST}:{port}"
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            for _ in range(_TRIES):
                if _answers(client) or ended_within(process, _POLL_SECONDS):
                    break
            assert _answers(client), log.read_text(encoding="utf-8")
            yield client
    finally:
        stop([process])


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False
