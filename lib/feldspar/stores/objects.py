"""Files in a folder or a bucket: probe, list, read, write; one URI form for all of it.

Tables are not read here (see ``stores.tables``). ``s3://`` and ``s3a://`` mean the same.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as NoConnectionError
from pyarrow import fs

from feldspar.errors import InputError, StoreError, UnreachableError
from feldspar.spec.environment import StorageSpec
from feldspar.spec.storage_options import path_style, region
from feldspar.times import to_micros

_S3 = ("s3", "s3a")
_SECONDS_TO_CONNECT = 3
_SECONDS_TO_ANSWER = 30
_REFUSED = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "InvalidToken",
    "ExpiredToken",
    "Forbidden",
    "401",
    "403",
}
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_ABSENT = {"NoSuchBucket", "NoSuchKey", "404", "NotFound"}


@dataclass(frozen=True, order=True)
class FileInfo:
    """One file: where it is, its size in bytes, when it was last written (UTC microseconds)."""

    uri: str
    size: int
    modified_micros: int


def probe(storage: StorageSpec) -> None:
    """Finds out in seconds whether the storage answers and takes the credentials.

    Raises:
        UnreachableError: nothing answers at the endpoint.
        StoreError: the credentials, the bucket or the folder are not good.
    """
    if not storage.on_s3:
        _probe_folder(Path(storage.root))
        return
    with _said_clearly(storage, f"probe {storage.root}"):
        _client(storage, answer_seconds=5, attempts=2).list_objects_v2(
            Bucket=storage.bucket, MaxKeys=1
        )


def creates_once(storage: StorageSpec) -> bool:
    """Whether the bucket's server refuses to create an object that is there, if so asked.

    Commits of several drivers to one table hang on it. A probe object is written and removed.

    Raises:
        UnreachableError, StoreError: as ``probe``.
    """
    asked = f"create an object twice below {storage.root}"
    key = f"{urlsplit(storage.root).path}/feldspar-probe-{uuid.uuid4().hex}".lstrip("/")
    place = {"Bucket": storage.bucket, "Key": key}
    client = _client(storage, answer_seconds=5, attempts=2)
    with _said_clearly(storage, asked):
        client.put_object(**place, IfNoneMatch="*")
        try:
            client.put_object(**place, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in _TAKEN:
                raise
            return True
        finally:
            client.delete_object(**place)
    return False


def ensure_bucket(storage: StorageSpec) -> None:
    """Makes the bucket (or the folder) of ``storage.root`` if it is not there."""
    if not storage.on_s3:
        Path(storage.root).mkdir(parents=True, exist_ok=True)
        return
    client = _client(storage)
    with _said_clearly(storage, f"make bucket {storage.bucket}"):
        try:
            client.head_bucket(Bucket=storage.bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _ABSENT:
                raise
            client.create_bucket(Bucket=storage.bucket)


def list_files(uri: str, storage: StorageSpec) -> list[FileInfo]:
    """Every file under a folder or prefix, or the one file named; sorted by URI.

    Names that begin with ``_`` or ``.`` are not data and are left out, with what is under them.

    Args:
        uri: ``/folder``, ``file:///folder``, ``s3://bucket/prefix`` or ``s3a://...``.
        storage: names the server and the keys for buckets.

    Raises:
        InputError: a local path that is not there.
    """
    if _in_bucket(uri):
        return sorted(_listed_in_bucket(uri, storage))
    path = local_path(uri)
    if path.is_file():
        return [_file_info(path)]
    if not path.is_dir():
        raise InputError(f"{uri}: there is no such file or folder", hint="check the path")
    return sorted(_file_info(file) for file in path.rglob("*") if _is_data(file, path))


def filesystem(storage: StorageSpec, uri: str) -> tuple[fs.FileSystem, str]:
    """The Arrow file system that holds ``uri``, and the path of it there."""
    parts = urlsplit(uri)
    if not _in_bucket(uri):
        return fs.LocalFileSystem(), str(local_path(uri))
    options: dict[str, Any] = {
        "connect_timeout": float(_SECONDS_TO_CONNECT),
        "request_timeout": float(_SECONDS_TO_ANSWER),
        "force_virtual_addressing": not path_style(storage),
    }
    if storage.endpoint:
        scheme, _, host = storage.endpoint.partition("://")
        options |= {"endpoint_override": host, "scheme": scheme}
    if region(storage):
        options["region"] = region(storage)
    if storage.access_key:
        options |= {"access_key": storage.access_key, "secret_key": storage.secret_key}
    if storage.session_token:
        options["session_token"] = storage.session_token
    return fs.S3FileSystem(**options), f"{parts.netloc}{parts.path}".rstrip("/")


def exists(storage: StorageSpec, uri: str) -> bool:
    """Whether a file or a folder, be it empty, lies there."""
    found, path = filesystem(storage, uri)
    return bool(found.get_file_info(path).type != fs.FileType.NotFound)


def read_bytes(uri: str, storage: StorageSpec) -> bytes:
    """The whole content of a small file.

    Raises:
        InputError: there is no such file.
    """
    parts = urlsplit(uri)
    if not _in_bucket(uri):
        try:
            return local_path(uri).read_bytes()
        except FileNotFoundError as error:
            raise InputError(f"{uri}: there is no such file") from error
    with _said_clearly(storage, f"read {uri}"):
        try:
            answer = _client(storage).get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise InputError(f"{uri}: there is no such file") from error
            raise
        content: bytes = answer["Body"].read()
        return content


def write_bytes(uri: str, content: bytes, *, storage: StorageSpec) -> None:
    """Writes a small file; a reader sees the old content or the new, never a part."""
    parts = urlsplit(uri)
    if _in_bucket(uri):
        with _said_clearly(storage, f"write {uri}"):
            _client(storage).put_object(
                Bucket=parts.netloc, Key=parts.path.lstrip("/"), Body=content
            )
        return
    make_folder(uri.rpartition("/")[0])
    with new_file(uri, storage) as path:
        path.write_bytes(content)


def opened_writer(storage: StorageSpec, *, attempts: int = 2) -> Callable[[str, bytes], None]:
    """What writes small files one after another, with a client of its own; see ``write_bytes``.

    A file is on disk, or in the bucket, when the call returns. A server that is away is told within
    seconds.
    """
    client = _client(storage, answer_seconds=5, attempts=attempts) if storage.on_s3 else None

    def write(uri: str, content: bytes) -> None:
        if client is None:
            _write_through(local_path(uri), content)
            return
        parts = urlsplit(uri)
        with _said_clearly(storage, f"write {uri}"):
            client.put_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"), Body=content)

    return write


def _write_through(target: Path, content: bytes) -> None:
    path = target.with_name(f".{uuid.uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(path, target)
        finally:
            path.unlink(missing_ok=True)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        text = f"cannot write to {target.parent}: {error.strerror}"
        raise StoreError(text, hint="check storage.root and the disk") from error


@contextmanager
def new_file(uri: str, storage: StorageSpec) -> Iterator[Path]:
    """A path on this machine to write to; what was written stands at ``uri`` afterwards.

    A reader sees the old content or the new, never a part; after an error the old. The folder is
    there (see ``make_folder``): one that was removed meanwhile is not made again.
    """
    parts = urlsplit(uri)
    on_s3 = _in_bucket(uri)
    target = local_path(uri)
    folder = Path(tempfile.gettempdir()) if on_s3 else target.parent
    # made by the writer, so that the file may be read by whom the user's umask says
    path = folder / f".{uuid.uuid4().hex}"
    try:
        yield path
        if on_s3:
            with _said_clearly(storage, f"write {uri}"), path.open("rb") as content:
                _client(storage).upload_fileobj(content, parts.netloc, parts.path.lstrip("/"))
        else:
            os.replace(path, target)
    finally:
        path.unlink(missing_ok=True)


def make_folder(uri: str) -> None:
    """Makes a folder that is not there; a bucket needs none."""
    if not _in_bucket(uri):
        local_path(uri).mkdir(parents=True, exist_ok=True)


def delete_folder(uri: str, storage: StorageSpec) -> None:
    """Deletes all files below a folder or prefix, if there are any.

    Who still writes into a folder fails; into a prefix of a bucket anybody can write again.
    """
    if _in_bucket(uri):
        found, path = filesystem(storage, uri)
        if found.get_file_info(path).type is fs.FileType.Directory:
            found.delete_dir(path)
        return
    folder = local_path(uri)
    if folder.is_dir():
        gone = folder.with_name(f".{uuid.uuid4().hex}")
        os.replace(folder, gone)
        shutil.rmtree(gone)


def delete_files(uris: Iterable[str], storage: StorageSpec) -> None:
    """Deletes files; one that has gone is no error.

    Raises:
        UnreachableError: the store broke off; the rest is still there.
    """
    place: fs.FileSystem | None = None
    try:
        for uri in uris:
            parts = urlsplit(uri)
            path = f"{parts.netloc}{parts.path}"
            place = place or filesystem(storage, uri)[0]
            if place.get_file_info(path).type is fs.FileType.File:
                place.delete_file(path)
    except OSError as error:
        raise UnreachableError(f"{uri} was not deleted: {error}") from error


def _in_bucket(uri: str) -> bool:
    return urlsplit(uri).scheme in _S3


def local_path(uri: str) -> Path:
    """The path of a ``file:`` URI or of a bare path."""
    parts = urlsplit(uri)
    return Path(parts.path if parts.scheme == "file" else uri)


def _listed_in_bucket(uri: str, storage: StorageSpec) -> Iterator[FileInfo]:
    parts = urlsplit(uri)
    prefix = parts.path.strip("/")
    pages = _client(storage).get_paginator("list_objects_v2")
    with _said_clearly(storage, f"list {uri}"):
        for page in pages.paginate(Bucket=parts.netloc, Prefix=prefix):
            for found in page.get("Contents", []):
                if _in_prefix(found["Key"], prefix):
                    yield _object_info(parts.scheme, parts.netloc, found=found)


def _in_prefix(key: str, prefix: str) -> bool:
    """Whether a key is the file ``prefix`` or data below it; ``ab/c`` is not below ``a``."""
    if key.endswith("/"):
        return False
    if not prefix or key == prefix:
        return prefix == key or _is_data_name(key)
    return key.startswith(f"{prefix}/") and _is_data_name(key[len(prefix) + 1 :])


def _is_data_name(name: str) -> bool:
    return not any(part.startswith(("_", ".")) for part in name.split("/"))


def _is_data(file: Path, root: Path) -> bool:
    return file.is_file() and _is_data_name(file.relative_to(root).as_posix())


def _object_info(scheme: str, bucket: str, *, found: Mapping[str, Any]) -> FileInfo:
    uri = f"{scheme}://{bucket}/{found['Key']}"
    return FileInfo(uri, int(found["Size"]), to_micros(found["LastModified"]))


def _file_info(path: Path) -> FileInfo:
    found = path.stat()
    return FileInfo(str(path), found.st_size, found.st_mtime_ns // 1_000)


def _probe_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="._probe"):
            pass
    except OSError as error:
        raise StoreError(
            f"cannot write to {folder}: {error.strerror}", hint="check storage.root"
        ) from error


def _client(
    storage: StorageSpec, *, answer_seconds: int = _SECONDS_TO_ANSWER, attempts: int = 4
) -> Any:
    options: dict[str, Any] = {
        "endpoint_url": storage.endpoint,
        "region_name": region(storage) or None,
        "aws_access_key_id": storage.access_key,
        "aws_secret_access_key": storage.secret_key,
        "aws_session_token": storage.session_token,
        "config": Config(
            connect_timeout=_SECONDS_TO_CONNECT,
            read_timeout=answer_seconds,
            retries={"mode": "standard", "total_max_attempts": attempts},
            s3={"addressing_style": "path" if path_style(storage) else "auto"},
        ),
    }
    return boto3.client("s3", **options)


@contextmanager
def _said_clearly(storage: StorageSpec, asked: str) -> Iterator[None]:
    """Turns what boto3 says into our words; nothing of the keys is shown."""
    where = storage.endpoint or "AWS S3"
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StoreError(
            f"{asked}: no credentials for {where}",
            hint="set storage.access_key and secret_key, or log in to the provider chain",
        ) from error
    except ClientError as error:
        raise _answered_badly(error, asked, where=where, bucket=storage.bucket) from error
    except (NoConnectionError, HTTPClientError) as error:
        raise UnreachableError(
            f"{asked}: nothing answers at {where}",
            hint="is the server up (make up)? check storage.endpoint; feldspar doctor shows more",
        ) from error
    except BotoCoreError as error:
        raise StoreError(f"{asked} at {where}: {error}", hint="check the storage block") from error


def _answered_badly(error: ClientError, asked: str, *, where: str, bucket: str) -> StoreError:
    code = error.response["Error"]["Code"]
    if code in _REFUSED:
        return StoreError(
            f"{asked}: {where} refuses the credentials ({code})",
            hint="check storage.access_key and secret_key of the environment",
        )
    if code in _ABSENT:
        return StoreError(
            f"{asked}: {where} has no bucket {bucket!r} ({code})",
            hint="make the bucket, or mend storage.root",
        )
    return StoreError(f"{asked}: {where} answers {code}: {error.response['Error'].get('Message')}")
