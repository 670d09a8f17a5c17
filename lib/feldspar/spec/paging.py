"""How an HTTP source gives its items page by page, and how it is asked for new ones."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from feldspar.errors import InputError
from feldspar.spec.definition import Definition, Duration
from feldspar.times import duration_micros, from_micros, to_micros

_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)


class CursorPaging(Definition):
    """An answer says what the next request must say; none: it was the last page."""

    by: Literal["cursor"]
    parameter: str = Field(description="of the request")
    path: str = Field(description="of the cursor in the answer: meta.next")


class LinkPaging(Definition):
    """An answer has the address of the next page; none: it was the last one."""

    by: Literal["link"]
    path: str | None = Field(
        default=None, description="of the link in the answer; none: the Link header, rel=next"
    )


class PagePaging(Definition):
    """Pages are numbered; one without items is the end."""

    by: Literal["page"]
    parameter: str = "page"
    first: int = Field(default=1, ge=0)


Paging = Annotated[CursorPaging | LinkPaging | PagePaging, Field(discriminator="by")]


@dataclass(frozen=True)
class Place:
    """A value by which items are in order: a whole number, of times in microseconds."""

    value: int
    is_time: bool

    @staticmethod
    def of(text: str | None) -> "Place":
        """The place that a text stands for; a time without a zone is taken for one of UTC.

        >>> Place.of("7"), Place.of("1970-01-01T00:00:01Z")
        (Place(value=7, is_time=False), Place(value=1000000, is_time=True))

        Raises:
            InputError: it is neither.
        """
        if text is not None and _WHOLE.fullmatch(text):
            return Place(int(text), is_time=False)
        try:
            moment = datetime.fromisoformat(text or "")
        except ValueError as error:
            found = "nothing" if text is None else repr(text)
            raise InputError(f"{found} is neither a whole number nor an ISO 8601 time") from error
        known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return Place(to_micros(known), is_time=True)


class Since(Definition):
    """Each round of requests asks for items from the newest of the round before on."""

    parameter: str = Field(description="of the request")
    field: str = Field(
        description="of an item: a whole number or an ISO 8601 time that grows with each new or "
        "changed item"
    )
    start: str | None = Field(
        default=None, description="of the first round; none: it asks for all items"
    )
    overlap: int | Duration = Field(
        default=timedelta(0),
        description="how far below the newest value items may still appear: 10m, or 1000",
    )

    def floor(self, newest: Place) -> int:
        """The lowest value that items may still appear with.

        Raises:
            InputError: the overlap is a number and values are times, or the other way round.
        """
        if not self.overlap:
            return newest.value
        if isinstance(self.overlap, timedelta) != newest.is_time:
            what = "a length of time such as 10m" if newest.is_time else "a number such as 1000"
            kind = "a time" if newest.is_time else "a whole number"
            raise InputError(f"since.field {self.field} is {kind}, so since.overlap is {what}")
        if isinstance(self.overlap, timedelta):
            return newest.value - duration_micros(self.overlap)
        return newest.value - self.overlap

    def after(self, newest: str | None) -> str | None:
        """What a round asks for items from, once this was the newest; None: all of them.

        >>> since = Since(parameter="since", field="at", overlap=timedelta(seconds=1))
        >>> since.after("1970-01-01T00:00:03Z"), since.after(None)
        ('1970-01-01T00:00:02Z', None)
        """
        if newest is None:
            return self.start
        if not self.overlap:
            # as the server wrote it
            return newest
        place = Place.of(newest)
        floor = self.floor(place)
        if not place.is_time:
            return str(floor)
        return f"{from_micros(floor):%Y-%m-%dT%H:%M:%S.%fZ}".replace(".000000", "")
