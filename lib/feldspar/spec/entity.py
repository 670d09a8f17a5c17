"""What features describe: a customer, a terminal."""

from pydantic import Field

from feldspar.spec.definition import Definition, Names


class EntitySpec(Definition):
    """An entity and its join keys."""

    key: Names = Field(description="column(s) that name one of them")
    description: str = ""
