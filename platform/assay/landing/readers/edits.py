"""Edited records: landing objects of their own, which replace a quarantined record.

Belongs here: what such an object holds, and reading it. Does not belong here: making one (`quarantine.editing`), which records
are replaced (`quarantine.replaced`, by the ledger).

An edit is one object, named after the record that it replaces and written only if absent: so a record is edited once, and an edit
of an edit names that edit. It holds who, why and when, the record before and after, and its events as parsed records: so it is
read the same way whatever the source's format. Each line is one event; the rest is repeated on every line.

Its events come right after those of the replaced record: at the same position followed by 0, which is before anything that ties
between lines of one object add (`batches.ties`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.contracts.version import fingerprint
from assay.lake.layout import EDITS, edits_prefix
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import lines_relation, salvage_lines, salvaged_relation
from assay.landing.readers.parsed_record import Parsed, Wanted

Kind = Literal["record", "row"]
"""What was quarantined: a record that could not be read, or an event whose row a contract rejected."""


@dataclass(frozen=True)
class Event:
    """A parsed record (see `parsed_record`), as an edit holds it.

    Attributes:
        op: The operation.
        sequence: Its position.
        source_timestamp: When the source made the change, as text; None if unknown.
        missing: Declared columns that it lacks.
        unchanged: Declared columns that did not change and were not sent.
        rescued: JSON object of undeclared columns.
        values: Its columns, as texts.
    """

    op: str
    sequence: tuple[int, ...]
    source_timestamp: str | None
    missing: tuple[str, ...] | None
    unchanged: tuple[str, ...] | None
    rescued: str | None
    values: Mapping[str, str | None]


@dataclass(frozen=True)
class Edit:
    """An edited record.

    Attributes:
        object: Landing object of the record that it replaces.
        line: The record's line in that object.
        kind: The kind of that record.
        part: Key, as JSON, of the one event that it replaces among those of the line; empty for the whole line.
        by: Who edited it.
        why: The reason given.
        at: When, ISO 8601 UTC.
        before: The record as it was.
        after: The record as it is now.
        events: The events that replace it.
    """

    object: str
    line: int
    kind: Kind
    part: str
    by: str
    why: str
    at: str
    before: str
    after: str
    events: tuple[Event, ...]

    def key(self, source: str) -> str:
        """Its landing object's key: of two edits of one record, only one can exist."""
        return f"{edits_prefix(source)}{fingerprint([self.object, self.line, self.part])}.json"

    def to_lines(self) -> bytes:
        """Serialize it, one line per event."""
        told = {name: value for name, value in asdict(self).items() if name != "events"}
        lines = (json.dumps(told | {"event": asdict(event)}, ensure_ascii=False) for event in self.events)
        return "".join(f"{line}\n" for line in lines).encode()


def edit_of(content: bytes) -> Edit | None:
    """Parse what `Edit.to_lines` wrote; None for an object that something else wrote."""
    try:
        lines: list[dict[str, Any]] = [json.loads(line) for line in content.splitlines()]
        told = {name: value for name, value in lines[0].items() if name != "event"}
        return Edit(**told, events=tuple(_event(line["event"]) for line in lines))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def is_edit(key: str) -> bool:
    """Whether a landing object is an edited record."""
    return key.split("/")[2:3] == [EDITS]


class EditsReader:
    """Reads files of edits."""

    first_row = 1

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files."""
        return Parsed([_events(lines_relation([file.path for file in files]), source)])

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """Read the intact lines of a damaged file."""
        good = scratch / f"{file.path.name}.lines"
        rejected = salvage_lines(file.path, good)
        return Parsed([_events(salvaged_relation(file.path, good), source)], {file.path: rejected})

    def recheck(self, wanted: Wanted, source: Source, scratch: Path) -> Parsed | None:
        """Nothing needs to be read again."""
        return None


def _events(lines: str, source: Source) -> str:
    values = ", ".join(f"event ->> {literal(_path(spec.name))} AS {quote(spec.name)}" for spec in source.columns)
    return f"""
SELECT _path, _n, line AS _record, CASE WHEN event IS NULL THEN 'no edited record' END AS _reason, event ->> '$.op' AS _op,
  TRY_CAST(event -> '$.sequence' AS BIGINT[]) AS _sequence,
  TRY_CAST(event ->> '$.source_timestamp' AS TIMESTAMPTZ) AS _source_timestamp,
  {_names("missing")} AS _missing, {_names("unchanged")} AS _unchanged, event ->> '$.rescued' AS _rescued, {values}
FROM (SELECT _path, _n, line, TRY_CAST(line AS JSON) -> '$.event' AS event FROM ({lines}))"""


def _path(column: str) -> str:
    return f"$.values.{json.dumps(column)}"


def _names(field: str) -> str:
    return f"TRY_CAST(nullif(event -> '$.{field}', 'null'::JSON) AS VARCHAR[])"


def _event(written: Mapping[str, Any]) -> Event:
    names: dict[str, Sequence[str] | None] = {field: written[field] for field in ("missing", "unchanged")}
    lists = {field: None if value is None else tuple(value) for field, value in names.items()}
    return Event(**{**written, **lists, "sequence": tuple(written["sequence"])})
