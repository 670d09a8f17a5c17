"""A Delta table that somebody else keeps: its versions and files, read only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError as NoDeltaTable

from feldspar.errors import StoreError, TableNotFoundError
from feldspar.spec.environment import StorageSpec
from feldspar.spec.storage_options import delta_storage_options
from feldspar.stores.tables import log
from feldspar.times import from_micros


@dataclass(frozen=True)
class ExternalTable:
    """A table by its folder."""

    uri: str
    storage: StorageSpec

    def version(self) -> int:
        """The newest version.

        Raises:
            TableNotFoundError: there is no Delta table at this place.
        """
        return int(self._open().version())

    def committed_at(self, version: int) -> datetime:
        """When a version was committed (UTC)."""
        return from_micros(log.read_commit_at(self.storage, self.uri, version=version).timestamp)

    def added_files(self, *, after: int, upto: int) -> list[log.AddedFile]:
        """Data files that the versions in (after, upto] added.

        Raises:
            StoreError: a version changed or removed rows, or files alone do not tell the rows.
        """
        mapping = self._properties().get("delta.columnMapping.mode", "none")
        if mapping != "none":
            raise StoreError(
                f"{self.uri} names its columns otherwise in its files (column mapping {mapping})",
                hint="read this source with 'read: change_feed'",
            )
        return log.added_files(self.storage, self.uri, after=after, upto=upto)

    def keeps_changes(self) -> bool:
        """Whether the table writes a change feed."""
        return self._properties().get("delta.enableChangeDataFeed") == "true"

    def _properties(self) -> dict[str, str]:
        return dict(self._open().metadata().configuration)

    def _open(self) -> DeltaTable:
        try:
            options = delta_storage_options(self.storage)
            return log.open_at(self.uri.replace("s3a://", "s3://", 1), options)
        except NoDeltaTable as error:
            raise TableNotFoundError(
                f"there is no Delta table at {self.uri}", hint="check 'path' of the source"
            ) from error
