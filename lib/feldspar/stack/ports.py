"""Free ports on this machine's own address; the stack listens nowhere else."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from feldspar.errors import StoreError

HOST = "127.0.0.1"
# Below the range that systems hand to outgoing connections, so that a port kept for the next
# time is seldom taken in between.
_RANGE = range(20_000, 32_000)
_TRIES = 500


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as servers do: a port with connections that linger in TIME_WAIT is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port(taken: Collection[int]) -> int:
    """A free port that is not among those already given away.

    Raises:
        StoreError: none was found.
    """
    choices = random.SystemRandom().sample(_RANGE, _TRIES)
    for port in choices:
        if port not in taken and is_free(port):
            return port
    raise StoreError(f"no free port was found in {_TRIES} tries", hint="set the ports yourself")
