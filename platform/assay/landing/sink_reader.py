"""Reading what a sink of Kafka Connect has written beside the values.

Belongs here: what becomes of its objects that hold no values. Does not belong here: how they are named (`kafka_names`), the
values (the reader of their format).
"""

from __future__ import annotations

from pathlib import Path

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.kafka_names import Holds, sink_object
from assay.landing.lines import lines_relation, salvage_lines, salvaged_relation
from assay.landing.records import BLANK, LandedFile, Parsed, Reader


class SinkReader:
    """Reads values by the reader of their format, and what a sink has written beside them.

    Objects with keys and headers of the values have no records of their own. Tombstones are messages, for the delete that they
    follow is among the values.

    Args:
        values: The reader of the values, which reads one record a line.
    """

    def __init__(self, values: Reader) -> None:
        self._values = values
        self.first_row = values.first_row

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files."""
        values = [file for file in files if _holds(file) == "values"]
        parsed = self._values.parse(values, source) if values else Parsed([])
        if tombstones := [file.path for file in files if _holds(file) == "tombstones"]:
            parsed.queries.append(_messages(lines_relation(tombstones), source))
        return parsed

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read what is whole of a damaged file."""
        if _holds(file) == "values":
            return self._values.salvage(file, source, scratch)
        if _holds(file) != "tombstones":
            return Parsed([])
        good = scratch / f"{file.path.name}.lines"
        rejected = salvage_lines(file.path, good)
        return Parsed([_messages(salvaged_relation(file.path, good), source)], {file.path: rejected})

    def recheck(self, files: list[LandedFile], wanted: str, source: Source) -> Parsed | None:
        """Read values again; tombstones are read exactly the first time."""
        values = [file for file in files if _holds(file) == "values"]
        return self._values.recheck(values, wanted, source) if values else None


def _holds(file: LandedFile) -> Holds:
    found = sink_object(file.info.key)
    return found.holds if found else "values"


def _messages(lines: str, source: Source) -> str:
    columns = ", ".join(f"NULL::VARCHAR AS {quote(spec.name)}" for spec in source.columns)
    return f"""
SELECT _path, _n, line AS _record, CASE WHEN coalesce(trim(line), '') = '' THEN {literal(BLANK)} END AS _reason, 'm' AS _op,
  NULL::BIGINT[] AS _sequence, NULL::TIMESTAMPTZ AS _source_timestamp, NULL::VARCHAR[] AS _missing,
  NULL::VARCHAR[] AS _unchanged, NULL::VARCHAR AS _rescued, {columns}
FROM ({lines})"""
