"""An environment: where tables, features and models live, and how Spark is started there.

A secret is never written in the file: it comes from an environment variable, or from the state
of the local stack. The engines' own option names are made in ``spec.storage_options``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from feldspar.errors import DefinitionError, Problem, UsageError, nearest
from feldspar.spec.definition import Definition, Duration
from feldspar.spec.interpolate import interpolate
from feldspar.spec.reading import Document, read_document
from feldspar.spec.secrets import SECRET_KEY, refuse_secrets, texts
from feldspar.spec.serving import BLOCKS, ServingSpec

STATE_FILE = Path(".feldspar", "stack", "state.json")
FILLED_IN = ("name", "folder", "connectors")
"""Keys that are not written in the file."""
# found without reading the file: an environment is looked at when sources are wrong, too
_CONNECTORS = ("kafka", "jdbc")
_KIND = re.compile(r"""^kind:\s*["']?(\w+)""", re.MULTILINE)

_REFERENCE = re.compile(r"\$\{stack:([a-z0-9_.]+)\}")


class Settings(Definition):
    """A block of an environment file; numbers are read as text where text is meant."""

    model_config = ConfigDict(coerce_numbers_to_str=True)


class StorageSpec(Settings):
    """Where tables live: a local folder, or a bucket with its server and keys."""

    root: str = Field(description="folder, or s3a://bucket/prefix")
    endpoint: str | None = Field(default=None, description="of an S3-compatible server; AWS: none")
    region: str | None = None
    path_style: bool | None = Field(default=None, description="default: true with an endpoint")
    direct_reads: bool = Field(
        default=True,
        description="tasks read data files themselves; false where a catalogue guards the files",
    )
    access_key: str | None = Field(default=None, repr=False)
    secret_key: str | None = Field(default=None, repr=False)
    session_token: str | None = Field(default=None, repr=False)

    @field_validator("root")
    @classmethod
    def _no_slash_at_the_end(cls, root: str) -> str:
        return root.rstrip("/")

    @field_validator("endpoint", "region", "access_key", "secret_key", "session_token")
    @classmethod
    def _empty_means_absent(cls, value: str | None) -> str | None:
        return value or None

    @model_validator(mode="after")
    def _keys_come_in_pairs(self) -> StorageSpec:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key are set together or not at all")
        return self

    @property
    def on_s3(self) -> bool:
        """Whether tables live in a bucket."""
        return self.root.startswith(("s3://", "s3a://"))

    @property
    def bucket(self) -> str:
        """The bucket of ``root``; empty for a folder."""
        return urlsplit(self.root).netloc if self.on_s3 else ""


class RedisSpec(Settings):
    """The online store."""

    url: str = Field(
        description="redis://host:port/0; rediss:// with TLS; redis+cluster://host:port or "
        "rediss+cluster:// of any node of a cluster",
        repr=False,
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authorities that sign the server's certificate",
    )
    keep_replaced: Duration = Field(
        default=timedelta(days=1),
        json_schema_extra={"default": "1d"},
        description="how long values of a replaced definition stay, for processes that serve it",
    )


class MlflowSpec(Settings):
    """Experiments and the model registry."""

    tracking_uri: str
    registry_prefix: str = ""


class SparkSpec(Settings):
    """How Spark is started; whatever else it should know goes into ``conf``."""

    master: str = "local[2]"
    driver_memory: str = Field(default="2g", pattern=r"^\d+[kmgt]$")
    conf: Mapping[str, str] = Field(default_factory=dict, repr=False)


class StackSpec(Settings):
    """Ports of the local servers; 0 picks a free one and keeps it."""

    s3_port: int = Field(default=0, ge=0, le=65_535)
    redis_port: int = Field(default=0, ge=0, le=65_535)
    mlflow_port: int = Field(default=0, ge=0, le=65_535)


class Environment(Settings):
    """conf/environments/<name>.yaml, with its variables filled in.

    ``name``, ``folder`` (the project's root) and ``connectors`` (what Spark needs to read the
    project's sources) are filled in by ``load_environment``.
    """

    name: str
    folder: Path
    namespace: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    clock: Literal["wall", "data"] = "wall"
    storage: StorageSpec
    redis: RedisSpec
    mlflow: MlflowSpec
    spark: SparkSpec = SparkSpec()
    serving: ServingSpec = ServingSpec()
    stack: StackSpec | None = None
    connectors: tuple[str, ...] = ()

    @property
    def state_folder(self) -> Path:
        """The ignored folder that holds logs, local servers and generated files."""
        return self.folder / ".feldspar"


def load_environment(conf_dir: Path, name: str, variables: Mapping[str, str]) -> Environment:
    """Reads one environment file.

    Args:
        conf_dir: the project's conf folder; its parent is the project's root.
        name: ``local`` for conf/environments/local.yaml.
        variables: usually the process environment; ``FELDSPAR_NAMESPACE`` in it wins.

    Raises:
        UsageError: no such file, or it needs the local stack and that does not run.
        DefinitionError: with every problem of the file.
    """
    folder = conf_dir.absolute().parent
    path = environment_file(conf_dir, name)
    raw = read_document(path, root=folder, variables=_AnyValue())
    refuse_secrets(raw)
    stack = _stack_values(raw, folder / STATE_FILE)
    document = read_document(path, root=folder, variables={**variables, **stack})
    values = {**document.values}
    if variables.get("FELDSPAR_NAMESPACE"):
        values["namespace"] = variables["FELDSPAR_NAMESPACE"]
    filled = {"name": name, "folder": folder, "connectors": connectors_of(conf_dir)}
    environment = _validated(document, {**values, **filled})
    storage = environment.storage
    if storage.on_s3:
        return environment
    root = str(folder / Path(storage.root).expanduser())
    return environment.model_copy(update={"storage": storage.model_copy(update={"root": root})})


def load_stack(conf_dir: Path, name: str, variables: Mapping[str, str]) -> StackSpec | None:
    """The ``stack`` block alone: it can be read before anything runs; None without one."""
    folder = conf_dir.absolute().parent
    path = environment_file(conf_dir, name)
    document = read_document(path, root=folder, variables=_AnyValue())
    block = document.tree.get("stack")
    if block is None:
        return None
    try:
        return StackSpec.model_validate(
            {key: interpolate(str(value), variables) for key, value in block.items()}
        )
    except ValidationError as error:
        raise DefinitionError(_problems(document, error, StackSpec, ("stack",))) from error


def environment_file(conf_dir: Path, name: str) -> Path:
    """The file of an environment.

    Raises:
        UsageError: there is none; the nearest names are given.
    """
    path = conf_dir.absolute() / "environments" / f"{name}.yaml"
    if path.is_file():
        return path
    known = sorted(file.stem for file in path.parent.glob("*.yaml"))
    near = nearest(name, known) or tuple(known)
    raise UsageError(
        f"there is no environment {name!r}: {conf_dir}/environments/{name}.yaml is not there",
        hint=f"known: {', '.join(near)}" if near else "run inside a project, or say --conf FOLDER",
    )


def connectors_of(conf_dir: Path) -> tuple[str, ...]:
    """Kinds of a project's sources that Spark needs jars of their own for."""
    files = (conf_dir / "sources").glob("*.yaml")
    written = (file.read_text(encoding="utf-8", errors="replace") for file in files)
    kinds = {kind for text in written for kind in _KIND.findall(text)}
    return tuple(one for one in _CONNECTORS if one in kinds)


class _AnyValue(Mapping[str, str]):
    """Stands in for variables when only the shape of a file matters."""

    def __getitem__(self, name: str) -> str:
        return "0"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _validated(document: Document, values: dict[str, Any]) -> Environment:
    for key in FILLED_IN:
        if key in document.values:
            line = document.line((key,))
            raise DefinitionError([Problem(document.file, line, f"{key!r} is not a key here")])
    try:
        return Environment.model_validate(values)
    except ValidationError as error:
        raise DefinitionError(_problems(document, error, Environment, ())) from error


def _problems(
    document: Document, error: ValidationError, model: type[Settings], prefix: tuple[str, ...]
) -> Iterator[Problem]:
    known = {key for block in (model, *_BLOCKS) for key in block.model_fields}
    for details in error.errors():
        path = (*prefix, *details["loc"])
        dotted, line = ".".join(str(step) for step in path), document.line(path)
        match details["type"]:
            case "extra_forbidden":
                key = str(path[-1])
                near = nearest(key, known - set(FILLED_IN))
                yield Problem(document.file, line, f"{dotted}: {key!r} is not a key here", near)
            case "missing":
                yield Problem(document.file, line, f"{dotted} is missing")
            case "value_error":
                yield Problem(document.file, line, f"{dotted}: {details['ctx']['error']}")
            case _ if SECRET_KEY.search(dotted):
                yield Problem(document.file, line, f"{dotted}: {details['msg'].lower()}")
            case _:
                found = f"{dotted}: found {details['input']!r}; {details['msg'].lower()}"
                yield Problem(document.file, line, found)


_BLOCKS: tuple[type[Definition], ...] = (
    *(StorageSpec, RedisSpec, MlflowSpec, SparkSpec, StackSpec),
    *BLOCKS,
)


def _stack_values(document: Document, state_file: Path) -> dict[str, str]:
    """The values ``${stack:...}`` may name, of a stack that was brought up."""
    wanted = {
        (name, path) for path, text in texts(document.tree, ()) for name in _REFERENCE.findall(text)
    }
    if not wanted:
        return {}
    values: dict[str, str] = {}
    if state_file.is_file():
        values = json.loads(state_file.read_text(encoding="utf-8")).get("values", {})
    if not values:
        raise UsageError(
            f"{document.file} takes its addresses from the local stack, which is not running",
            hint="make up",
        )
    problems = [
        Problem(
            document.file, document.line(path), f"the stack has no {name!r}", nearest(name, values)
        )
        for name, path in sorted(wanted)
        if name not in values
    ]
    if problems:
        raise DefinitionError(problems)
    return {f"stack:{name}": value for name, value in values.items()}
