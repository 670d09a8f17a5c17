"""Terminals: tills, web shops and cash machines, each of one trade, channel and country.

They lie on a line; neighbours on it are near each other, which is all the geography there is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from payments.options import GeneratorOptions
from payments.randomness import stream

HOME = "BE"
COUNTRIES = (HOME, "FR", "NL", "DE", "LU", "GB", "US")
CHANNELS = ("pos", "online", "atm")
MERCHANT_TYPES = (
    "grocery", "fuel", "restaurant", "clothing", "travel", "electronics",
    "gambling", "cash", "crypto",
)  # fmt: skip
HIGH_RISK = ("gambling", "cash", "crypto")

_TYPE_SHARES = (0.30, 0.12, 0.16, 0.12, 0.08, 0.10, 0.04, 0.06, 0.02)
_ONLINE_SHARES = (0.08, 0.0, 0.05, 0.35, 0.60, 0.55, 0.70, 0.0, 1.0)
_COUNTRY_SHARES = (0.90, 0.03, 0.03, 0.015, 0.01, 0.01, 0.005)

Codes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Terminals:
    """One entry for each terminal; the values are positions in the tuples above."""

    merchant_type: Codes
    channel: Codes
    country: Codes

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.merchant_type)

    @property
    def high_risk(self) -> npt.NDArray[np.bool_]:
        """True where the trade is one of ``HIGH_RISK``."""
        codes = [MERCHANT_TYPES.index(name) for name in HIGH_RISK]
        return np.isin(self.merchant_type, codes)


def make_terminals(options: GeneratorOptions) -> Terminals:
    """Draws the terminals of a data set."""
    draw = stream(options.seed, "terminals")
    count = options.terminal_count
    kind = draw.choice(len(MERCHANT_TYPES), size=count, p=_TYPE_SHARES).astype(np.int8)
    online = draw.random(count) < np.take(_ONLINE_SHARES, kind)
    channel = online.astype(np.int8) * CHANNELS.index("online")
    channel[kind == MERCHANT_TYPES.index("cash")] = CHANNELS.index("atm")
    country = draw.choice(len(COUNTRIES), size=count, p=_COUNTRY_SHARES).astype(np.int8)
    return Terminals(merchant_type=kind, channel=channel.astype(np.int8), country=country)
