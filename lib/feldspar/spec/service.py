"""A service: features that are trained and served together, and what a request brings."""

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
    description: str = ""
