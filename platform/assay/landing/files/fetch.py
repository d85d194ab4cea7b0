"""Fetching landing objects to local disk, decompressed.

Belongs here: fetching, decompressing, and having containers converted to one record per line. Does not belong here: how a
container holds records (`containers`), reading records (the readers).

Objects are decompressed here and not by DuckDB, which accepts a truncated gzip as complete, takes longer, and would decompress
a file again in each query.
"""

from __future__ import annotations

import gzip
import io
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast

from isal import igzip, isal_zlib

from assay.errors import LibraryMissing, ObjectMissing
from assay.lake.store import ObjectInfo, ObjectStore
from assay.landing.files.containers import BINARY, WORKBOOK, Container, container_of, openpyxl_library, unwrap
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import DAMAGE, Rejected, is_gzipped, open_unpacked

FETCHERS = 8
_BLOCK_BYTES = 1 << 20
# isal's stub calls its exception class an instance.
_DAMAGE: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, isal_zlib.error)  # type: ignore[assignment]


def fetch(
    store: ObjectStore,
    objects: Sequence[ObjectInfo],
    folder: Path,
    keep: frozenset[Container] = frozenset(),
    lacking: dict[str, str] | None = None,
) -> list[LandedFile]:
    """Fetch objects to local disk, each at exactly the listed version.

    Args:
        store: The lake.
        objects: The objects.
        folder: Where they go; an uncompressed file of a folder lake is read where it is.
        keep: Containers that are kept, because the source's reader reads them; the records of others are written one per
            line.
        lacking: Collects, by key, the missing library that an object needs; if None, a missing library is an error.

    Returns:
        The objects that are unchanged since the listing and can be read; an object that has changed waits for the next ingest.

    Raises:
        LibraryMissing: A library that an object needs is not installed, and `lacking` is None.
    """

    def one(place: int, info: ObjectInfo) -> LandedFile | None:
        path = store.local(info.key)
        if path is None:
            path = folder / f"{place}.landed"
            try:
                store.download(info.key, path, info.etag)
            except ObjectMissing:
                return None
        try:
            return _unwrapped(_unpacked(info, path, folder / f"{place}.unpacked"), folder / f"{place}.lines", keep)
        except LibraryMissing as error:
            if lacking is None:
                raise
            lacking[info.key] = str(error)
            return None

    with ThreadPoolExecutor(FETCHERS) as pool:
        fetched = pool.map(one, *zip(*enumerate(objects), strict=True))
    return [file for file in fetched if file is not None]


def _unpacked(info: ObjectInfo, path: Path, to: Path) -> LandedFile:
    if not is_gzipped(path):
        return LandedFile(info, path, text=path)
    try:
        with igzip.IGzipFile(path, "rb") as packed, to.open("wb") as plain:
            shutil.copyfileobj(packed, plain, _BLOCK_BYTES)
    except _DAMAGE:
        to.unlink(missing_ok=True)
        return LandedFile(info, path, is_damaged=True, text=path)
    return LandedFile(info, to, text=to)


def _unwrapped(file: LandedFile, to: Path, keep: frozenset[Container]) -> LandedFile:
    """Write the records of a container one per line; if its compression is damaged, those before the damage."""
    path = _unpacked_as_far_as_whole(file.path, to.with_suffix(".part")) if file.is_damaged else file.path
    container = container_of(path)
    if container == WORKBOOK:
        if container in keep:
            openpyxl_library()
        return file
    if container is None or container in keep:
        return replace(file, path=path, text=None) if container in BINARY else file
    rejected = unwrap(path, container, to)
    if rejected is None:
        return file
    if file.is_damaged and not rejected:
        rejected = [Rejected(1, "", "the compressed data is damaged: records after those that were read may be lost")]
    return LandedFile(file.info, to, rejected=tuple(rejected), text=path if container not in BINARY else None)


def _unpacked_as_far_as_whole(path: Path, to: Path) -> Path:
    with open_unpacked(path) as packed, to.open("wb") as plain:
        try:
            # Any other read fills a whole block, and loses what it has read of it when it reaches the damage.
            while block := cast(io.BufferedReader, packed).read1(_BLOCK_BYTES):
                plain.write(block)
        except DAMAGE:
            return to
    return to
