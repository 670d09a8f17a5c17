"""Where tables lie: ``<root>/<namespace>/<layer>/<name>``, and the keys to get there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from feldspar.spec.environment import Environment, StorageSpec
from feldspar.spec.source import IN_THE_LAKE
from feldspar.spec.storage_options import delta_storage_options

LAYERS = ("bronze", "silver", "history", "quarantine", "gold", "ops", "training")


@dataclass(frozen=True)
class Lake:
    """All tables of one environment."""

    storage: StorageSpec
    namespace: str
    folder: Path = Path()
    """The project, which relative paths of sources start from."""

    @staticmethod
    def of(environment: Environment) -> Lake:
        """The lake of an environment."""
        return Lake(environment.storage, environment.namespace, environment.folder)

    def source_uri(self, path: str) -> str:
        """The ``path`` of a source, where it is not a URI, as an absolute one."""
        if path.startswith(IN_THE_LAKE):
            return self.uri(*path.removeprefix(IN_THE_LAKE).split("/", 1))
        plain = path.removeprefix("file://")
        return plain.rstrip("/") if "://" in plain else str(self.folder / Path(plain).expanduser())

    def uri(self, layer: str, name: str) -> str:
        """The table's folder as Spark names it (``s3a://`` or a local path)."""
        return f"{self.storage.root.rstrip('/')}/{self.namespace}/{layer}/{name}"

    def inbox(self, source: str) -> str:
        """The folder that rows pushed to a source wait in, as files of JSON lines."""
        # beside ``names.SERVED_INBOX``: a source may be called "served"
        return self.uri("inbox", f"pushed/{source}")

    def pulled(self, source: str) -> str:
        """The folder of the pages that an HTTP source gave, as files of JSON lines."""
        return self.uri("inbox", f"pulled/{source}")

    def native_uri(self, layer: str, name: str) -> str:
        """The same folder for readers without a JVM (``s3://`` or a local path)."""
        return self.uri(layer, name).replace("s3a://", "s3://", 1)

    def options(self) -> dict[str, str]:
        """Keys and endpoint for readers without a JVM."""
        return delta_storage_options(self.storage)
