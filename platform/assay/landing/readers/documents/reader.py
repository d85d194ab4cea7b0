"""Reading plain JSON documents: one per line, or the records within an API's responses.

Belongs here: finding the documents in a file. Does not belong here: what is in a document (`extraction`), taking responses apart
(`responses`), files that are a single array (`files.containers`), typing of values (`batches.typed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assay.contracts import Source
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import DAMAGED, Rejected, lines_relation, salvage_lines, salvaged_relation
from assay.landing.kafka.names import sink_object
from assay.landing.readers.documents.extraction import extracted
from assay.landing.readers.documents.positions import documents_format, with_places
from assay.landing.readers.documents.responses import responses_relation, salvage_response
from assay.landing.readers.parsed_record import Parsed, Wanted
from assay.landing.readers.snapshot_dates import boundaries, date_of, no_date


class DocumentsReader:
    """Reads files of plain JSON documents."""

    first_row = 1

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files."""
        form = documents_format(source)
        parsed = Parsed([])
        for date, dated in _by_date(files, source, parsed).items():
            paths = [file.path for file in dated]
            relation = lines_relation(paths) if form.records is None else responses_relation(paths, form.records)
            relation = with_places(relation, dated, source, "_n - min(_n) OVER (PARTITION BY _path) + 1")
            parsed.queries += _queries(relation, dated, date, source, bounded=paths)
        return parsed

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read the intact documents of a damaged file."""
        form = documents_format(source)
        parsed = Parsed([])
        for date, dated in _by_date([file], source, parsed).items():
            good = scratch / f"{file.path.name}.lines"
            rejected = salvage_lines(file.path, good) if form.records is None else salvage_response(file.path, form.records, good)
            if form.snapshot and any(each.reason.startswith(DAMAGED) for each in rejected):
                hint = "nothing of it is used. Land the whole file under a new name."
                told = f"the file breaks off, and a part of a snapshot tells nothing of what is gone: {hint}"
                parsed.rejected[file.path] = [Rejected(1, "", told), *rejected]
                continue
            parsed.rejected[file.path] = rejected
            # A key whose document cannot be read is not absent, so the file gets no bounds.
            bounded = [] if rejected else [file.path]
            relation = with_places(salvaged_relation(file.path, good), dated, source, "_n")
            parsed.queries += _queries(relation, dated, date, source, bounded=bounded)
        return parsed

    def recheck(self, wanted: Wanted, source: Source, scratch: Path) -> Parsed | None:
        """Nothing needs to be read again: documents are read exactly the first time."""
        return None


def _by_date(files: list[LandedFile], source: Source, parsed: Parsed) -> dict[str | None, list[LandedFile]]:
    """Group files by the date of their snapshot; None if the source has no snapshots."""
    rule = documents_format(source).snapshot
    found: dict[str | None, list[LandedFile]] = {}
    for file in files:
        date = date_of(file.info.key, source, rule) if rule else None
        if rule and date is None:
            parsed.rejected[file.path] = [Rejected(1, "", no_date(source, rule))]
        else:
            found.setdefault(date, []).append(file)
    return found


def _queries(
    relation: str, files: Sequence[LandedFile], date: str | None, source: Source, *, bounded: Sequence[Path]
) -> list[str]:
    of_topic = [file.path for file in files if file.keys is not None or sink_object(file.info.key)]
    queries = [extracted(relation, source, date, of_topic)]
    if date and bounded:
        width = 2 if documents_format(source).version is None else 3
        queries.append(boundaries(bounded, date, source, width))
    return queries
