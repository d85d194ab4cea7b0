"""Bringing landing objects to local disk, unpacked.

Belongs here: fetching and decompressing. Does not belong here: reading records (the readers).

Objects are unpacked here and not by DuckDB, which takes a gzip that breaks off for a whole one, takes longer, and would unpack a
file again each time it looks at it.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from isal import igzip, isal_zlib

from assay.errors import ObjectMissing
from assay.lake.store import ObjectInfo, ObjectStore
from assay.landing.lines import is_gzipped
from assay.landing.records import LandedFile

FETCHERS = 8
_BLOCK_BYTES = 1 << 20
# isal's stub calls its exception class an instance.
_DAMAGE: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, isal_zlib.error)  # type: ignore[assignment]


def fetch(store: ObjectStore, objects: Sequence[ObjectInfo], folder: Path) -> list[LandedFile]:
    """Bring objects to local disk, each exactly as it was listed.

    Args:
        store: The lake.
        objects: The objects.
        folder: Where they go; a file of a folder lake that is not packed is read where it is.

    Returns:
        The objects that are still what they were; one that has changed since waits for the next ingest.
    """

    def one(place: int, info: ObjectInfo) -> LandedFile | None:
        path = store.local(info.key)
        if path is None:
            path = folder / f"{place}.landed"
            try:
                store.download(info.key, path, info.etag)
            except ObjectMissing:
                return None
        return _unpacked(info, path, folder / f"{place}.unpacked")

    with ThreadPoolExecutor(FETCHERS) as pool:
        fetched = pool.map(one, *zip(*enumerate(objects), strict=True))
    return [file for file in fetched if file is not None]


def _unpacked(info: ObjectInfo, path: Path, to: Path) -> LandedFile:
    if not is_gzipped(path):
        return LandedFile(info, path)
    try:
        with igzip.IGzipFile(path, "rb") as packed, to.open("wb") as plain:
            shutil.copyfileobj(packed, plain, _BLOCK_BYTES)
    except _DAMAGE:
        to.unlink(missing_ok=True)
        return LandedFile(info, path, is_damaged=True)
    return LandedFile(info, to)
