"""A landing object on local disk, as it is passed from fetching to reading.

Belongs here: what is known about such a file. Does not belong here: fetching it (`fetch`), what is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assay.lake.store import ObjectInfo
from assay.landing.files.lines import Rejected

Takes = Literal["all", "named", "nameless"]


@dataclass(frozen=True)
class LandedFile:
    """A landing object on local disk.

    Attributes:
        info: The object, as it was when it was fetched.
        path: Its content, decompressed if that is possible to the end.
        is_damaged: Whether it cannot be decompressed to the end.
        rejected: What could not be converted, when its records were written one per line.
        text: The object's own text, compressed only if it cannot be decompressed to the end; None if it is not text.
        keys: What a sink has written apart from the values in `path` (`kafka.keys`).
        takes: Which records are read: all, those that name their key, or those that do not.
        mismatch: Why none of `keys` can be assigned to a record.
    """

    info: ObjectInfo
    path: Path
    is_damaged: bool = False
    rejected: tuple[Rejected, ...] = ()
    text: Path | None = None
    keys: Path | None = None
    takes: Takes = "all"
    mismatch: str | None = None
