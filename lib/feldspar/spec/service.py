"""A service: features that are trained and served together, and what a request brings."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from feldspar.spec.definition import Definition, Duration, Names


def _some_time(value: timedelta) -> timedelta:
    if not value:
        raise ValueError("more than 0s is needed: an object for each answer would be too many")
    return value


class ServedLogSpec(Definition):
    """What is kept of a service's answers, for ``feldspar audit`` and for feedback."""

    sample: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="share of answers that is logged, chosen by request id; 0: none",
    )
    flush: Annotated[Duration, AfterValidator(_some_time)] = Field(
        default=timedelta(seconds=2),
        description="how long an answer waits at most to be written: what a killed process loses",
    )
    most: int = Field(
        default=100_000,
        ge=1,
        description="answers that wait at most while the store is away; older ones are dropped",
    )


class ServiceSpec(Definition):
    """A named list of features.

    ``features`` names whole views (``customer_spend``), single features
    (``real_time_features.current_balance``) or columns of the request (``request.amount``).
    """

    entities: Names
    event: str | None = Field(
        default=None,
        description="table whose row is the request (a payment); without it a request is its keys",
    )
    features: Names
    fallback: Literal["missing"] | None = Field(
        default=None,
        exclude=True,
        description="while Redis is away; missing: answer as for an entity of which nothing is "
        "stored, and say so; without it: 503",
    )
    served_log: ServedLogSpec = Field(
        default=ServedLogSpec(),
        # how answers are logged changes none of them
        exclude=True,
        description="what is kept of its answers",
    )
    description: str = ""
