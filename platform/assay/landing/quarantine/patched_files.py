"""Landing objects with some records replaced by other text, on local disk: as a producer should have written them.

Belongs here: putting an edited record's text in the record's place, and finding it there again. Does not belong here: what the
text means (the readers), making edits of it (`editing`). Landing objects themselves are never changed.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from assay.contracts import Source
from assay.errors import EditError
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import numbered_lines
from assay.landing.formats import Csv, Dms
from assay.landing.readers.byte_offsets import starts
from assay.landing.readers.delimited.layouts import Misfit, layout_of

_HINT = "Give the values of its columns in `set`, or land a corrected object under a new name."


@dataclass(frozen=True)
class Patched:
    """A landing object with some records replaced.

    Attributes:
        file: The patched file.
        begins: The byte at which each replaced record begins in it, by the record's line in the landing object.
    """

    file: LandedFile
    begins: Mapping[int, int]

    def lines(self, source: Source, *, one_by_one: bool) -> dict[int, int]:
        """Find the lines of the replaced records in the patched file, by their lines in the landing object.

        Args:
            source: Its source.
            one_by_one: Whether the patched file was salvaged.
        """
        rows = {begin: row for row, begin in starts(self.file, source, one_by_one=one_by_one)}
        return {line: rows[begin] for line, begin in self.begins.items() if begin in rows}


def patched(file: LandedFile, texts: Mapping[int, str], source: Source, to: Path, *, one_by_one: bool) -> Patched:
    """Write a copy of a landing object with other text for some records.

    Args:
        file: The landing object.
        texts: The texts, by line.
        source: Its source.
        to: The file to write.
        one_by_one: Whether the object was salvaged when it was read.

    Raises:
        EditError: A record's place in the object's text is not known.
    """
    places = [] if file.is_damaged else starts(file, source, one_by_one=one_by_one)
    content = file.path.read_bytes()
    following = [*(begin for _, begin in places[1:]), len(content)]
    ends = {row: end for (row, _), end in zip(places, following, strict=False)}
    begins: dict[int, int] = {}
    begin_of = dict(places)
    written, copied = io.BytesIO(), 0
    for line, text in sorted(texts.items()):
        if line not in begin_of:
            raise EditError(f"{file.info.key}: the place of record {line} in its text is not known.", hint=_HINT)
        begin, end = begin_of[line], ends[line]
        written.write(content[copied:begin])
        begins[line] = written.tell()
        body = content[begin:end]
        written.write(text.encode() + body[len(body.rstrip(b"\r\n")) :])
        copied = end
    written.write(content[copied:])
    to.write_bytes(written.getvalue())
    return Patched(replace(file, path=to, text=to), begins)


def text_of(file: LandedFile, before: str, after: str, source: Source) -> str:
    """Convert an edited record to the form that it has in its landing object.

    A parsed record of delimited text is shown as a JSON object of its fields.

    Args:
        file: The landing object.
        before: The record as it was shown.
        after: The edited one.
        source: Its source.

    Raises:
        EditError: The text does not fit into the object.
    """
    if "\n" in after or "\r" in after:
        raise EditError(
            f"{file.info.key}: an edited record must be one line.", hint="Write a line break within a text as its format does."
        )
    fields = _fields(before) if isinstance(source.format, Csv | Dms) else None
    if fields is None:
        return after
    edited = _fields(after)
    if edited is None or list(edited) != list(fields):
        raise EditError(
            f"{file.info.key}: the edited record must be a JSON object of the fields {', '.join(fields)}, in this order.",
            hint=_HINT,
        )
    line = io.StringIO()
    csv.writer(line, delimiter=_delimiter(file, source), lineterminator="").writerow(
        ["" if value is None else value for value in edited.values()]
    )
    return line.getvalue()


def _fields(text: str) -> dict[str, str | None] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _delimiter(file: LandedFile, source: Source) -> str:
    if isinstance(source.format, Dms):
        return source.format.delimiter
    first = next(numbered_lines(file.path), None)
    layout = layout_of(first[1].decode("utf-8-sig", errors="surrogateescape"), file.info.key, source) if first else None
    return "," if layout is None or isinstance(layout, Misfit) else layout.delimiter
