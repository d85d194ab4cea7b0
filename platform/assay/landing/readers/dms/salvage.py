"""Files of AWS DMS that DuckDB cannot read: their intact records, one by one, rewritten so that it can.

Belongs here: the slow path for CSV. Does not belong here: splitting text into records (`files.delimited_text`), what a
record means (`changes`).
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from assay.contracts import Source
from assay.landing.files.delimited_text import kept, records_in
from assay.landing.files.encodings import has_foreign_bytes
from assay.landing.files.lines import KEPT_OF_A_BAD_LINE, Rejected
from assay.landing.readers.dms.cells import ABSENT
from assay.landing.readers.dms.layouts import Layout, csv_layout, dms_format, layout_problem, may_end_early
from assay.landing.readers.dms.names import DmsObject


def salvage_changes(path: Path, to: Path, about: DmsObject, source: Source) -> tuple[Layout | None, list[Rejected]]:
    """Write the intact records of a file, numbered and padded; returns their layout, and what was left out."""
    delimiter = dms_format(source).delimiter
    layout, widths = _salvaged_layout(path, about, source)
    problem = layout_problem(layout, source) if layout else None
    if layout is None or problem:
        return None, [Rejected(1, "", problem or "the file holds no record")]
    rejected: list[Rejected] = []
    with to.open("w", encoding="utf-8", newline="") as good:
        writer = csv.writer(good)
        for record in _records(path, delimiter):
            if isinstance(record, Rejected):
                rejected.append(record)
                continue
            row, fields = record
            if len(fields) in widths or may_end_early(fields, layout):
                writer.writerow([row, *fields, *[ABSENT] * (layout.width - len(fields))])
            else:
                text = json.dumps(fields, ensure_ascii=True)[:KEPT_OF_A_BAD_LINE]
                rejected.append(Rejected(row, text, f"{len(fields)} fields where the file has {layout.width}"))
    return layout, rejected


def _salvaged_layout(path: Path, about: DmsObject, source: Source) -> tuple[Layout | None, range]:
    """Detect a damaged file's layout from the majority of its records; returns it and the allowed numbers of fields."""
    first: Layout | None = None
    widths: Counter[int] = Counter()
    of_width: dict[int, list[str]] = {}
    for record in _records(path, dms_format(source).delimiter):
        if not isinstance(record, Rejected):
            _, fields = record
            first = first or csv_layout(fields, about, source)
            widths[len(fields)] += not may_end_early(fields, first)
            of_width.setdefault(len(fields), fields)
    if first is None:
        return None, range(0)
    if first.kind == "many tables":
        return first, range(first.width + 1)
    usual = first if first.has_header else csv_layout(of_width[widths.most_common(1)[0][0]], about, source)
    return usual, range(usual.width, usual.width + 1)


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]] | Rejected]:
    """Yield the number and the fields of each record, or why it cannot be used."""
    for number, record in enumerate(records_in(path, delimiter), 1):
        if isinstance(record, Rejected):
            yield replace(record, row=number)
        elif has_foreign_bytes(record.text):
            yield Rejected(number, kept(record.text), "not valid UTF-8", record.offset)
        else:
            yield number, record.fields
