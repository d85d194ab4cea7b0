"""The object store backed by a folder: for laptops, tests and single machines.

Belongs here: objects as files. Does not belong here: S3 (`s3`), the interface (`store`).

An object is written to `.tmp/`, made durable, and then renamed into place while its lock in `.locks/` is held; the
lock makes the check of a condition and the rename atomic, between threads and processes. The locks are advisory: a
program that writes to the folder without this class is not held back by them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from assay.errors import Conflict, ObjectMissing, SettingsError, StoreError
from assay.lake.store import DISK_IS_FULL, ObjectInfo, check_key, complete_or_absent

_TEMPORARY = ".tmp"
_LOCKS = ".locks"
_LOCK_COUNT = 256
"""Keys share this many locks, so that the lock folder does not grow with the lake."""
_ABANDONED_AFTER_SECONDS = 24 * 60 * 60


class FileStore:
    """Objects as files under one folder. See `assay.lake.store.ObjectStore` for the methods.

    Dot-files and dot-folders are not objects. An ETag is the file's time, size and key, so a file that another
    program wrote has one too, and a restored backup that kept its times has the same ones.

    Args:
        root: The folder; created at the first write.

    Raises:
        SettingsError: The path, or one of its parents, exists and is not a folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        there = next(path for path in (self.root, *self.root.parents) if path.exists())
        if not there.is_dir():
            raise SettingsError(f"{there} is a file, not a folder.", hint="Set ASSAY_LAKE to file:///path of a folder.")
        self._remove_abandoned()

    @property
    def uri(self) -> str:
        return self.root.as_uri()

    @property
    def settles(self) -> float:
        return 2.0

    def list(self, prefix: str, cuts: Collection[str] = ()) -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]
        if folder:
            check_key(folder)
        with _explained(self.root, prefix):
            yield from self._walk(folder, prefix)

    def head(self, key: str) -> ObjectInfo:
        with _explained(self.root, key), self._open(key) as file:
            return _info(key, os.fstat(file.fileno()))

    def get(self, key: str, last: int | None = None) -> bytes:
        with _explained(self.root, key), self._open(key) as file:
            if last is not None:
                file.seek(max(0, os.fstat(file.fileno()).st_size - last))
            return file.read()

    def download(self, key: str, target: Path, etag: str | None = None) -> None:
        with _explained(self.root, key), self._open(key) as source:
            before = _etag(key, os.fstat(source.fileno()))
            if etag is not None and before != etag:
                raise _replaced(key, etag)
            with complete_or_absent(target) as file:
                shutil.copyfileobj(source, file, 1 << 20)
                # A rename does not change an open file; a producer that writes in place does.
                if _etag(key, os.fstat(source.fileno())) != before:
                    raise _replaced(key, before)

    def put(self, key: str, body: bytes | Path, *, if_match: str | None = None, if_absent: bool = False) -> ObjectInfo:
        target = self._path(key)
        with _explained(self.root, key):
            written = self._write_temporary(body)
            try:
                with self._lock(key):
                    self._check_condition(key, if_match, if_absent)
                    return self._move(written, target, key)
            finally:
                written.unlink(missing_ok=True)

    def delete(self, key: str) -> None:
        target = self._path(key)
        with _explained(self.root, key), self._lock(key):
            if target.is_file():
                target.unlink(missing_ok=True)

    def path(self, key: str) -> str:
        return str(self._path(key))

    def local(self, key: str) -> Path | None:
        return self._path(key)

    def s3_access(self) -> None:
        return None

    def _path(self, key: str) -> Path:
        check_key(key)
        return self.root / key

    def _open(self, key: str) -> BinaryIO:
        try:
            return self._path(key).open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise _missing(key) from None

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        try:
            with os.scandir(self.root / folder) as entries:
                # A folder sorts as its name with the slash, so that the walk follows the order of whole keys.
                found = sorted(
                    (f"{entry.name}/" if entry.is_dir() else entry.name, entry)
                    for entry in entries
                    if not entry.name.startswith(".")
                )
        except (FileNotFoundError, NotADirectoryError):
            return
        for name, entry in found:
            key = f"{folder}/{name}" if folder else name
            if not key.startswith(prefix):
                continue
            if key.endswith("/"):
                yield from self._walk(key.removesuffix("/"), prefix)
                continue
            try:
                stat = entry.stat()
            except FileNotFoundError:
                # Deleted since the folder was listed.
                continue
            yield _info(key, stat)

    def _write_temporary(self, body: bytes | Path) -> Path:
        folder = self.root / _TEMPORARY
        folder.mkdir(parents=True, exist_ok=True)
        written = folder / uuid.uuid4().hex
        try:
            with written.open("xb") as file:
                if isinstance(body, Path):
                    with body.open("rb") as source:
                        shutil.copyfileobj(source, file, 1 << 20)
                else:
                    file.write(body)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            written.unlink(missing_ok=True)
            raise
        return written

    def _check_condition(self, key: str, if_match: str | None, if_absent: bool) -> None:
        if if_match is None and not if_absent:
            return
        try:
            now = self.head(key).etag
        except ObjectMissing:
            now = None
        if if_absent and now is not None:
            raise Conflict(f"{key} is there already.", hint="Read it and decide again.")
        if if_match is not None and now != if_match:
            raise Conflict(f"{key} is no longer at version {if_match}.", hint="Read it and decide again.")

    def _move(self, written: Path, target: Path, key: str) -> ObjectInfo:
        target.parent.mkdir(parents=True, exist_ok=True)
        # The kernel's clock for files ticks in milliseconds, a file system may keep whole seconds, and a clock may
        # be set back. Each version must be later than the one before it.
        before = target.stat().st_mtime_ns if target.exists() else 0
        now, step = max(time.time_ns(), before + 1), 1
        os.utime(written, ns=(now, now))
        while written.stat().st_mtime_ns <= before:
            now, step = now + step, 2 * step
            os.utime(written, ns=(now, now))
        info = _info(key, written.stat())
        written.replace(target)
        _make_rename_durable(target.parent)
        return info

    @contextlib.contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        folder = self.root / _LOCKS
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{zlib.crc32(key.encode()) % _LOCK_COUNT:02x}").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _remove_abandoned(self) -> None:
        """Remove temporary files of writers that were killed a day ago or longer."""
        for written in (self.root / _TEMPORARY).glob("*"):
            with contextlib.suppress(OSError):
                if time.time() - written.stat().st_mtime > _ABANDONED_AFTER_SECONDS:
                    written.unlink()


@contextlib.contextmanager
def _explained(root: Path, key: str) -> Iterator[None]:
    """Turn the operating system's errors into the store's."""
    try:
        yield
    except OSError as error:
        raise _store_error(root, key, error) from error


def _store_error(root: Path, key: str, error: OSError) -> StoreError:
    if error.errno in DISK_IS_FULL:
        return StoreError(
            f"The disk of {root} is full ({key}).",
            hint="Free some space, or set ASSAY_LAKE to a folder on a larger disk.",
        )
    if isinstance(error, PermissionError):
        return StoreError(
            f"{error.filename or root} may not be read or written ({key}).",
            hint="Give this user the right, or set ASSAY_LAKE to another folder.",
        )
    if isinstance(error, (IsADirectoryError, NotADirectoryError, FileExistsError)):
        return StoreError(
            f"{key} cannot be written: a folder has the same name, or a file has the name of one of its folders.",
            hint="Choose another key.",
        )
    return StoreError(f"{key} in {root}: {error}.", hint="Check the folder that ASSAY_LAKE names.")


def _make_rename_durable(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _info(key: str, stat: os.stat_result) -> ObjectInfo:
    modified = dt.datetime.fromtimestamp(stat.st_mtime, tz=dt.UTC)
    return ObjectInfo(key, _etag(key, stat), stat.st_size, modified)


def _etag(key: str, stat: os.stat_result) -> str:
    # Other objects, of the same time and size, have other content.
    return f"{stat.st_mtime_ns}-{stat.st_size}-{zlib.crc32(key.encode()):08x}"


def _missing(key: str) -> ObjectMissing:
    return ObjectMissing(f"There is no object {key}.", hint="List its prefix to see what is there.")


def _replaced(key: str, etag: str) -> ObjectMissing:
    return ObjectMissing(f"{key} is no longer at version {etag}.", hint="List it again and take its new version.")
