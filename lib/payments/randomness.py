"""Random numbers that depend on the seed and a purpose alone.

Each noun draws from streams of its own, so a change in one leaves the others' data as they are.
"""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, purpose: str, *, index: int = 0) -> np.random.Generator:
    """The numbers of one purpose; ``index`` is the day or month they are for.

    >>> float(stream(1, "doc").random()) == float(stream(1, "doc").random())
    True
    """
    entropy = [seed, zlib.crc32(purpose.encode()), index]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
