"""The audit trail of quarantine: who edited and dropped which records, when and why.

Belongs here: reading both kinds of decisions in one shape. Does not belong here: making them (`editing`, `dropping`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from assay.contracts import Source, Table
from assay.lake.layout import edits_audit_prefix, edits_prefix
from assay.lake.store import ObjectStore
from assay.landing.readers.edits import edit_of
from assay.pipeline.dropping import read_drops


@dataclass(frozen=True)
class Decision:
    """A decision about records in quarantine.

    Attributes:
        at: When, UTC.
        by: Who.
        what: What was done.
        of: The record, or the table or source of the records.
        records: Number of records.
        why: Why.
        before: For an edit, the record before.
        after: The record after.
    """

    at: dt.datetime
    by: str
    what: Literal["edited", "dropped"]
    of: str
    records: int
    why: str
    before: str | None = None
    after: str | None = None


def read_trail(store: ObjectStore, declared: Iterable[Source | Table]) -> list[Decision]:
    """Read every decision about some tables and sources, oldest first.

    An edit counts under the source for which it landed, whichever table refused the row.

    Raises:
        StoreError: The lake cannot be read.
    """
    found: list[Decision] = []
    for each in declared:
        for drop in read_drops(store, each.full_name):
            at = dt.datetime.fromisoformat(drop.at)
            found.append(Decision(at, drop.by, "dropped", drop.table, len(drop.records), drop.why))
        found += _edits(store, each) if isinstance(each, Source) else ()
    return sorted(found, key=lambda decision: decision.at)


def _edits(store: ObjectStore, source: Source) -> Iterator[Decision]:
    # An edit that is not ingested yet has no copy.
    keys: dict[str, str] = {}
    for prefix in (edits_prefix(source.name), edits_audit_prefix(source.name)):
        keys |= {info.key.rsplit("/", 1)[-1]: info.key for info in store.list(prefix)}
    for key in keys.values():
        edit = edit_of(store.get(key))
        if edit is not None:
            of = f"{edit.object}, line {edit.line}"
            yield Decision(dt.datetime.fromisoformat(edit.at), edit.by, "edited", of, 1, edit.why, edit.before, edit.after)
