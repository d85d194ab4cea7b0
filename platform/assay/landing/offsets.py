"""Where records stand in the text of their landing object.

Belongs here: the byte at which a record begins, by its number. Does not belong here: reading records.

It is asked only for records that were refused, which are few. What holds records in another way than as text has no such place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from assay.contracts import Source
from assay.landing import containers, csv_records, documents, split_records
from assay.landing.containers import ARRAY, container_of
from assay.landing.formats import Csv, Dms, JsonDocuments
from assay.landing.lines import line_starts
from assay.landing.records import LandedFile


def offsets(file: LandedFile, rows: Collection[int], source: Source, *, one_by_one: bool) -> dict[int, int]:
    """Find the bytes, from 0 in the unpacked object, at which some records begin.

    Args:
        file: Their file.
        rows: Their numbers.
        source: Its source.
        one_by_one: Whether the file was salvaged: then a record of delimited text is numbered by the line that it begins on.

    Returns:
        What is found of them.
    """
    found: dict[int, int] = {}
    last = max(rows, default=0)
    for row, offset in _places(file, source, one_by_one):
        if row in rows:
            found.setdefault(row, offset)
        if row >= last:
            break
    return found


def starts(file: LandedFile, source: Source, *, one_by_one: bool) -> list[tuple[int, int]]:
    """The number of every record of a file's text and the byte at which it begins, where each ends as the next begins.

    Args:
        file: The file.
        source: Its source.
        one_by_one: Whether the file was salvaged.

    Returns:
        Nothing for what is no text, or where something else stands between records.
    """
    form = source.format
    if file.text is None or (isinstance(form, JsonDocuments) and form.records is not None):
        return []
    # The elements of an array have been put one a line.
    return list(_places(replace(file, text=file.path), source, one_by_one))


def _places(file: LandedFile, source: Source, one_by_one: bool) -> Iterator[tuple[int, int]]:
    """Yield the number of each record and the byte at which it begins."""
    form, text = source.format, file.text
    if text is None:
        return iter(())
    if isinstance(form, Csv):
        return csv_records.places(text, file.info.key, source, by_line=one_by_one)
    if isinstance(form, Dms):
        return split_records.places(text, form.delimiter)
    if container_of(text) == ARRAY and text != file.path:
        return containers.places(text)
    if isinstance(form, JsonDocuments) and form.records is not None:
        return documents.places(text, form.records)
    return line_starts(text)
