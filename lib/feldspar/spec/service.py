"""A service: features that are trained and served together, and what a request brings."""

from typing import Literal

from pydantic import Field

from feldspar.spec.definition import Definition, Names


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
    description: str = ""
