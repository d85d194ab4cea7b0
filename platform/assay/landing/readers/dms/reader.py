"""Reading what AWS DMS writes to S3: full loads and changes of one table, as CSV or Parquet.

Belongs here: choosing how a file is read. Does not belong here: the names of its objects (`names`), its layouts (`layouts`), what
its records mean (`changes`), its messages in Kafka and Kinesis (`messages`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from assay.contracts import Source
from assay.landing.files.containers import PARQUET, container_of
from assay.landing.files.delimited_text import Record, records_in
from assay.landing.files.encodings import has_foreign_bytes
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import KEPT_OF_A_BAD_LINE, Rejected
from assay.landing.readers.dms.cells import salvaged_scan, scan
from assay.landing.readers.dms.changes import changes
from assay.landing.readers.dms.layouts import Layout, csv_layout, dms_format, layout_problem, parquet_layout
from assay.landing.readers.dms.names import DmsObject, dms_object
from assay.landing.readers.dms.salvage import salvage_changes
from assay.landing.readers.parsed_record import Parsed, Wanted

_BROKEN_PARQUET = "the Parquet file is damaged, or was not written to its end"


class DmsReader:
    """Reads files of AWS DMS, each by its own layout."""

    first_row = 1

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files, all files with the same layout in one scan."""
        alike: dict[Layout, dict[Path, DmsObject]] = {}
        parsed = Parsed([])
        for file in files:
            found = _look(file, source)
            if found is None:
                parsed.unusual.append(file)
            elif isinstance(found, Rejected):
                parsed.rejected[file.path] = [found]
            else:
                layout, about = found
                alike.setdefault(layout, {})[file.path] = about
        parsed.queries += [changes(scan(layout, list(paths), source), layout, paths, source) for layout, paths in alike.items()]
        return parsed

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read the intact records of a damaged CSV file; a damaged Parquet file is rejected as a whole."""
        about = dms_object(file.info.key)
        if about is None:
            return Parsed([], {file.path: [_nameless(file)]})
        if container_of(file.path) == PARQUET:
            return Parsed([], {file.path: [Rejected(1, "", _BROKEN_PARQUET)]})
        good = scratch / f"{file.path.name}.records"
        layout, rejected = salvage_changes(file.path, good, about, source)
        if layout is None:
            return Parsed([], {file.path: rejected})
        return Parsed(
            [changes(salvaged_scan(layout, file.path, good), layout, {file.path: about}, source)], {file.path: rejected}
        )

    def recheck(self, wanted: Wanted, source: Source, scratch: Path) -> Parsed | None:
        """Nothing needs to be read again: a record's text is rebuilt from its fields."""
        return None


def _look(file: LandedFile, source: Source) -> tuple[Layout, DmsObject] | Rejected | None:
    """Detect a file's layout from its name and its first record.

    Returns:
        The layout; or why the file cannot be read at all; or None if it must be read record by record.
    """
    about = dms_object(file.info.key)
    if about is None:
        return _nameless(file)
    if container_of(file.path) == PARQUET:
        try:
            layout = parquet_layout(file.path)
        except (pa.ArrowException, OSError) as error:
            return Rejected(1, "", f"{_BROKEN_PARQUET}: {error}")
    else:
        first = next(records_in(file.path, dms_format(source).delimiter), None)
        if not isinstance(first, Record) or has_foreign_bytes(first.text):
            return None
        # Quotes come in pairs. With null_padding, DuckDB reads an unclosed quote as the end of the file.
        if about.of_many_tables and _has_open_quote(file.path):
            return None
        layout = replace(csv_layout(first.fields, about, source), line_end=first.line_end)
    problem = layout_problem(layout, source)
    return Rejected(1, ", ".join(layout.names)[:KEPT_OF_A_BAD_LINE], problem) if problem else (layout, about)


def _nameless(file: LandedFile) -> Rejected:
    name = file.info.key.rsplit("/", 1)[-1]
    return Rejected(
        1, "", f"{name} is neither LOAD and a counter nor the time of changes: its place in the order of changes cannot be told"
    )


def _has_open_quote(path: Path) -> bool:
    quotes = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            quotes += block.count(b'"')
    return quotes % 2 == 1
