"""The shape every reader brings its format into.

Belongs here: the columns of a parsed record and the protocol of a reader. Does not belong here: any one format.

A parsed record is a row of
`_path, _n, _record, _reason, _op, _sequence, _source_timestamp, _missing, _unchanged, _rescued` and one `VARCHAR` per
column of the contract: the values as texts that cast to the declared types.

- `_op`: `c`, `u`, `d`, `r` change one row. `t` empties the source and needs no key. `m` is a message: no row change, but
  kept and counted; its text is `_record`.
- `_sequence`: numbers that only the record itself and its object's name say, of one length and meaning for all records of a
  source.
- `_missing`: declared columns that the record does not have; `_unchanged`: those that the producer says did not change, without
  sending them. Both are null when there are none, and the columns they name are null.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from assay.contracts import Source
from assay.contracts.rules import literal
from assay.lake.store import ObjectInfo
from assay.landing.lines import Rejected

BLANK = "blank line"
"""The `_reason` of a line that holds nothing: it is no record and is not counted."""
FILE = "(file)"
"""What a record's file is called beside the producer's columns while they are read; one of them may be called `filename`."""


Takes = Literal["all", "named", "nameless"]


@dataclass(frozen=True)
class LandedFile:
    """A landing object that was brought to local disk.

    Attributes:
        info: The object, as it was when it was fetched.
        path: Its bytes, unpacked; as they are when they cannot be unpacked whole.
        is_damaged: Whether they cannot be unpacked whole.
        rejected: What could not be brought into `path`, when its records were put one a line.
        text: The object's own text, packed only where it cannot be unpacked whole; None where it is none.
        keys: What a sink has written apart from the values in `path` (`kafka_keys`).
        takes: Which records are the object's: all, those that name their key, or those that do not.
        mismatch: Why none of `keys` can be said to be the key of a record.
    """

    info: ObjectInfo
    path: Path
    is_damaged: bool = False
    rejected: tuple[Rejected, ...] = ()
    text: Path | None = None
    keys: Path | None = None
    takes: Takes = "all"
    mismatch: str | None = None


Wanted = Mapping[LandedFile, Collection[int]]
"""Records of some files, by their lines."""


@dataclass
class Parsed:
    """What a reader made of some files.

    Attributes:
        queries: Queries that together yield every record, in the shape this module's docstring gives.
        rejected: What could not even be read as a record, by file.
        unusual: Files that none of the queries reads, because only `salvage` can.
        warnings: What an operator should know of how files were read, as of repaired texts.
        starts: The bytes at which some records begin, by file and number, where reading had to find them anyway.
    """

    queries: list[str]
    rejected: dict[Path, list[Rejected]] = field(default_factory=dict)
    unusual: list[LandedFile] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    starts: dict[Path, dict[int, int]] = field(default_factory=dict)


class Reader(Protocol):
    """Reads one format.

    Attributes:
        first_row: Line of a file's first record.
    """

    first_row: int

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Write the queries that read files as DuckDB can; raises nothing, touches no data."""
        ...

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read one file that `parse`'s query failed on, keeping what is whole."""
        ...

    def recheck(self, wanted: Wanted, source: Source, scratch: Path) -> Parsed | None:
        """Read again the records of which `parse` does not know the text or the reason; None where it knows all.

        Args:
            wanted: The records, by file. All of a file's are found again, or the file is salvaged.
            source: Their source.
            scratch: Folder for temporary files.
        """
        ...


def text_list(values: list[str] | tuple[str, ...]) -> str:
    """Write texts as a DuckDB list."""
    return "[" + ", ".join(literal(value) for value in values) + "]"
