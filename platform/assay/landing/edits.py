"""Edited records: landing objects of their own, which say what takes the place of a record in quarantine.

Belongs here: what such an object holds, and reading it. Does not belong here: making one (`editing`), which records are replaced
(`ingest`, by the ledger).

An edit is one object, named by the record that it replaces and written only where there is none: so a record is edited once, and
the edit of an edit names that. It holds who, why and when, the record before and after, and the events that it stands for, as
parsed records: so it is read alike in whatever format its source is written. Each line is one event; the rest is the same on all.

Its events stand right after those of the record that they replace: at the same position followed by 0, which is before all that
ties between lines of one object add (`ties`).
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
from assay.landing.lines import lines_relation, salvage_lines, salvaged_relation
from assay.landing.records import LandedFile, Parsed, Wanted

Kind = Literal["record", "row"]
"""What was in quarantine: a record that could not be read, or an event whose row a contract has refused."""


@dataclass(frozen=True)
class Event:
    """A parsed record (see `records`), as an edit holds it.

    Attributes:
        op: What happened.
        sequence: Its position.
        source_timestamp: When the source made the change, as text; None where it does not say.
        missing: Declared columns that it does not have.
        unchanged: Declared columns that did not change, without being sent.
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
        line: The record's line there.
        kind: What that record was.
        part: Which of the events that its line tells, by its key as JSON; empty for all of the line.
        by: Who edited it.
        why: Why.
        at: When, ISO 8601 UTC.
        before: The record as it was.
        after: The record as it is now.
        events: The events that it stands for.
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
        """Its landing object's key: of two edits of one record, only one can be there."""
        return f"{edits_prefix(source)}{fingerprint([self.object, self.line, self.part])}.json"

    def to_lines(self) -> bytes:
        """Write it, a line an event."""
        told = {name: value for name, value in asdict(self).items() if name != "events"}
        lines = (json.dumps(told | {"event": asdict(event)}, ensure_ascii=False) for event in self.events)
        return "".join(f"{line}\n" for line in lines).encode()


def edit_of(content: bytes) -> Edit | None:
    """Read what `Edit.to_lines` wrote; None of what somebody else has put there."""
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
        """Read what is whole of a damaged file."""
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
