"""Where records are in the text of their landing object.

Belongs here: the byte at which a record begins, by its number. Does not belong here: reading records.

This is computed only for rejected records, which are few. Records of containers that are not text have no such place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from assay.contracts import Source
from assay.landing.files import containers, delimited_text
from assay.landing.files.containers import ARRAY, DOCUMENT, container_of
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import is_gzipped, line_starts, starts_of
from assay.landing.formats import Csv, Dms, JsonDocuments
from assay.landing.readers.delimited import salvage
from assay.landing.readers.documents.responses import response_places


def offsets(file: LandedFile, rows: Collection[int], source: Source, *, one_by_one: bool) -> dict[int, int]:
    """Find the bytes, from 0 in the decompressed object, at which some records begin.

    Args:
        file: Their file.
        rows: Their numbers.
        source: Its source.
        one_by_one: Whether the file was salvaged: then a record of delimited text is numbered by the line on which it begins.

    Returns:
        The bytes found, by number.
    """
    if file.text is not None and _is_of_lines(file, source) and not is_gzipped(file.text):
        return starts_of(file.text, rows)
    found: dict[int, int] = {}
    last = max(rows, default=0)
    for row, offset in _places(file, source, one_by_one):
        if row in rows:
            found.setdefault(row, offset)
        if row >= last:
            break
    return found


def starts(file: LandedFile, source: Source, *, one_by_one: bool) -> list[tuple[int, int]]:
    """The number and first byte of every record of a file's text, in which each record ends where the next begins.

    Args:
        file: The file.
        source: Its source.
        one_by_one: Whether the file was salvaged.

    Returns:
        The pairs; empty if the file is not text, or something else may be between records.
    """
    form = source.format
    if file.text is None or (isinstance(form, JsonDocuments) and form.records is not None):
        return []
    # The elements of an array, and objects over several lines, have been written one per line.
    return list(_places(replace(file, text=file.path), source, one_by_one))


def _places(file: LandedFile, source: Source, one_by_one: bool) -> Iterator[tuple[int, int]]:
    """Yield the number of each record and the byte at which it begins."""
    form, text = source.format, file.text
    if text is None:
        return iter(())
    if _is_of_lines(file, source):
        return line_starts(text)
    if isinstance(form, Csv):
        return salvage.places(text, file.info.key, source, by_line=one_by_one)
    if isinstance(form, Dms):
        return delimited_text.places(text, form.delimiter)
    if isinstance(form, JsonDocuments) and form.records is not None and not _is_spread(file):
        return response_places(text, form.records)
    return containers.places(text)


def _is_of_lines(file: LandedFile, source: Source) -> bool:
    """Whether each line of a file's text is a record."""
    form = source.format
    holds_others = isinstance(form, Csv | Dms) or (isinstance(form, JsonDocuments) and form.records is not None)
    return not holds_others and not _is_spread(file)


def _is_spread(file: LandedFile) -> bool:
    """Whether the records of a file's text were not lines, and have been written one per line."""
    return file.text is not None and file.text != file.path and container_of(file.text) in (ARRAY, DOCUMENT)
