"""The project file: its name and what it is about."""

from pydantic import Field

from feldspar.spec.definition import Definition


class ProjectSpec(Definition):
    """conf/project.yaml."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str = ""
