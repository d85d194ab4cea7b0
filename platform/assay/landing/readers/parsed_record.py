"""The common shape that every reader converts its format to.

Belongs here: the columns of a parsed record and the protocol of a reader. Does not belong here: any one format.

A parsed record is a row of
`_path, _n, _record, _reason, _op, _sequence, _source_timestamp, _missing, _unchanged, _rescued` and one `VARCHAR` per
column of the contract: the values as texts that cast to the declared types.

- `_op`: `c`, `u`, `d`, `r` change one row. `t` empties the source and needs no key. `m` is a message: not a row change, but
  kept and counted; its text is `_record`.
- `_sequence`: numbers taken only from the record itself and its object's name, with the same length and meaning for all records
  of a source.
- `_missing`: declared columns that the record lacks; `_unchanged`: those that the producer says did not change, without sending
  them. Both are null if there are none, and the columns they name are null.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from assay.contracts import Source
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import Rejected

BLANK = "blank line"
"""The `_reason` of a line that holds nothing: it is not a record and is not counted."""
FILE = "(file)"
"""Name of the file column; not `filename`, which a producer's column may have."""

Wanted = Mapping[LandedFile, Collection[int]]
"""Records of some files, by their line numbers."""


@dataclass
class Parsed:
    """What a reader returns for some files.

    Attributes:
        queries: Queries that together yield every record, in the shape described in this module's docstring.
        rejected: What could not even be read as a record, by file.
        unusual: Files that none of the queries reads, because only `salvage` can.
        warnings: What an operator should know about how files were read, such as repaired texts.
        starts: The bytes at which some records begin, by file and number, if reading had to find them anyway.
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
        """Write the queries that let DuckDB read the files; raises nothing, reads no records."""
        ...

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read one file on which `parse`'s query failed, keeping what is intact."""
        ...

    def recheck(self, wanted: Wanted, source: Source, scratch: Path) -> Parsed | None:
        """Read again the records whose text or reason `parse` does not know; None if it knows them all.

        Args:
            wanted: The records, by file. If not all of a file's are found again, the file is salvaged.
            source: Their source.
            scratch: Folder for temporary files.
        """
        ...
