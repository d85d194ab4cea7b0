"""What an object store is, and how to open one.

Belongs here: the interface through which all of Assay reads and writes objects, and the choice of its
implementation by URI. Does not belong here: the implementations (`s3`, `files`), and which keys hold what
(`layout`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import re
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote

from assay.errors import SettingsError, StoreError

DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of the operating system for a full disk."""
_FORMS = "Set ASSAY_LAKE to s3://bucket/prefix or file:///path."
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known about an object without reading it.

    Attributes:
        key: Its key, relative to the store's prefix.
        etag: Its version, without quotes. Other content gives another ETag; do not rely on it as a hash.
        size: Bytes.
        modified: When it was last written, with the UTC time zone. `ObjectStore.put` and `head` may know it
            only to the second, so never compare it to distinguish versions.
    """

    key: str
    etag: str
    size: int
    modified: dt.datetime


@dataclass(frozen=True)
class S3Access:
    """How a program other than the store itself reaches an S3 lake.

    Attributes:
        scope: The lake's URI, as in `s3://bucket/prefix`.
        endpoint: `http(s)://host:port` of a server that is not AWS, or None.
        region: The region, if it is known.
        access_key: The access key.
        secret_key: The secret key; not shown by repr.
        session_token: The token of temporary credentials; not shown by repr.
    """

    scope: str
    endpoint: str | None
    region: str | None
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


class ObjectStore(Protocol):
    """Objects under one prefix of a bucket, or under one folder.

    An object is written completely or not at all, and is never seen half-written. All methods may be called from
    several threads. They raise `StoreUnavailable` if the store cannot be reached, and `StoreError` if it rejects the
    request.
    """

    @property
    def uri(self) -> str:
        """The store's URI, as `open_store` accepts it."""
        ...

    @property
    def settles(self) -> float:
        """Seconds for which a listed object must be unmodified before it counts as completely written.

        Zero for S3, which never shows half an object; more for folders, where other programs write in
        place.
        """
        ...

    def list(self, prefix: str, cuts: Collection[str] = ()) -> Iterator[ObjectInfo]:
        """List the objects whose key starts with a string, **in no particular order**.

        Real S3 and folders list in key order; some S3 servers (SeaweedFS) do not.

        Args:
            prefix: What the keys start with; may be empty.
            cuts: Keys with that prefix at which a long listing may be split, to be read in parallel. They do not affect what is
                listed, and need not exist.
        """
        ...

    def head(self, key: str) -> ObjectInfo:
        """Describe an object.

        Raises:
            ObjectMissing: There is no such object.
        """
        ...

    def get(self, key: str, last: int | None = None) -> bytes:
        """Read an object into memory.

        Args:
            key: Its key.
            last: Read only so many bytes at its end, or all if there are fewer; the object must not be empty.

        Raises:
            ObjectMissing: There is no such object.
        """
        ...

    def download(self, key: str, target: Path, etag: str | None = None) -> None:
        """Copy an object to a local file, which appears only when it is complete.

        Args:
            key: The object.
            target: The file to write; its folder is created if need be.
            etag: The version wanted; any when None.

        Raises:
            ObjectMissing: The object is gone, or is no longer the version wanted.
        """
        ...

    def put(self, key: str, body: bytes | Path, *, if_match: str | None = None, if_absent: bool = False) -> ObjectInfo:
        """Write an object.

        Args:
            key: The object.
            body: Its content, or the file that holds it.
            if_match: Write only if the object is at this version now.
            if_absent: Write only if there is no such object now.

        Raises:
            Conflict: The condition does not hold: another writer was first.
        """
        ...

    def delete(self, key: str) -> None:
        """Delete an object; a missing object is not an error."""
        ...

    def path(self, key: str) -> str:
        """The path by which DuckDB opens an object: an s3:// URL or an absolute file path."""
        ...

    def local(self, key: str) -> Path | None:
        """The object's file if the store is a folder, else None."""
        ...

    def s3_access(self) -> S3Access | None:
        """How other programs can now reach the store, with valid credentials; None if it is a folder."""
        ...


def open_store(
    uri: str,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
    session_token: str | None = None,
    create_bucket: bool = False,
) -> ObjectStore:
    """Open the store at a URI.

    Args:
        uri: s3://bucket/prefix or file:///path (percent-encoded).
        endpoint: URL of an S3 server other than AWS; boto3's own settings (AWS_ENDPOINT_URL) when None.
        region: S3 region; boto3's own settings when None.
        access_key: S3 access key; boto3's own chain of credentials when None.
        secret_key: S3 secret key, given exactly when `access_key` is.
        session_token: Token of temporary credentials, with `access_key`.
        create_bucket: Create the bucket if it is missing.

    Raises:
        SettingsError: The URI has neither form, or there are no credentials.
    """
    scheme, separator, rest = uri.partition("://")
    if separator and scheme == "file":
        from assay.lake.files import FileStore

        return FileStore(_folder(uri, rest))
    if separator and scheme == "s3":
        # boto3 takes 0.3 s to import, which a file-based lake need not pay.
        from assay.lake.s3 import S3Store

        bucket, prefix = _bucket_and_prefix(uri, rest)
        store = S3Store(
            bucket,
            prefix,
            endpoint=endpoint,
            region=region,
            access_key=access_key,
            secret_key=secret_key,
            session_token=session_token,
        )
        if create_bucket:
            store.create_bucket()
        return store
    raise SettingsError(f"The lake cannot be at {uri!r}.", hint=_FORMS)


def check_key(key: str) -> None:
    """Reject a key that not every store can hold.

    Raises:
        StoreError: The key is empty, absolute, leaves the store (`..`), or has a part that is empty or starts with a dot:
            some S3 servers collapse such keys, and a folder store keeps its own files there.
    """
    if "\0" in key or any(not part or part.startswith(".") for part in key.split("/")):
        raise StoreError(
            f"{key!r} is not a key of the lake.",
            hint="A key is relative, its parts are not empty, and no part starts with a dot.",
        )


@contextlib.contextmanager
def complete_or_absent(target: Path) -> Iterator[BinaryIO]:
    """Write a local file that appears, or replaces another, only if the block succeeds.

    Args:
        target: The file; its folder is created if need be.

    Raises:
        StoreError: Its disk is full.
    """
    part = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            yield file
        part.replace(target)
    except OSError as error:
        if error.errno in DISK_IS_FULL:
            raise StoreError(f"The disk of {target} is full.", hint="Free some space there.") from error
        raise
    finally:
        part.unlink(missing_ok=True)


def _folder(uri: str, rest: str) -> Path:
    folder = Path(unquote(rest))
    if not rest.startswith("/") or ".." in folder.parts:
        raise SettingsError(f"{uri!r} is not an absolute file URI.", hint=_FORMS)
    return folder


def _bucket_and_prefix(uri: str, rest: str) -> tuple[str, str]:
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.rstrip("/")
    if not _BUCKET.fullmatch(bucket):
        raise SettingsError(f"{uri!r} has no valid bucket name ({bucket!r}).", hint=_FORMS)
    if prefix and any(part in ("", ".", "..") for part in prefix.split("/")):
        raise SettingsError(f"{uri!r} has an empty or relative part in its prefix.", hint=_FORMS)
    return bucket, prefix
