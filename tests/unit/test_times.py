"""Times that are wrong are refused, whatever is wrong with them."""

from __future__ import annotations

import pytest

from feldspar.errors import UsageError
from feldspar.times import parse_instant


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+00:11", "9999-12-31T23:59:59-01:00"])
def test_a_zone_that_leads_out_of_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="outside the years 1 to 9999"):
        parse_instant(text)
