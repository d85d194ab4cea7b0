"""Rejecting events that land so late that it is unknown whether their rows were deleted.

Belongs here: detecting them, if deleted rows of their source were forgotten (`Source.deletes_kept`). Does not belong here: which
rows are forgotten (`pipeline.forgetting`), and how they are removed from raw objects (`upkeep.removal`).

An event newer than everything that was forgotten is safe. So is an older one whose partition holds other events of its key:
either the row was never forgotten, or it was created again, and by a newer event. Any other might bring a deleted row back. An
event without a day has no effect by itself, and is accepted.
"""

from __future__ import annotations

import duckdb

from assay.contracts import WHOLE, Source
from assay.contracts.rules import literal, quote
from assay.contracts.version import fingerprint
from assay.lake.layout import UNPLACED
from assay.lake.ledger import Ledger
from assay.lake.rows import files_by_version, typed_rows
from assay.lake.store import ObjectStore
from assay.landing.batches.typed import LINE

_WHY = (
    "it is older than deletes that are no longer kept (deletes_kept), and nothing else is known of its key: "
    "whether the row was deleted since cannot be told. If it was not, land it anew with a position of now"
)


def refuse_too_late(
    store: ObjectStore, cursor: duckdb.DuckDBPyConnection, source: Source, ledger: Ledger, staged: str
) -> str | None:
    """Reject the events of a staged batch that may belong to forgotten rows.

    Args:
        store: The lake.
        cursor: The cursor with the staged batch.
        source: Their source.
        ledger: Its ledger, which must have no other forgettings when the batch is recorded.
        staged: The staged table.

    Returns:
        A fingerprint of the rejected events, for the batch's id; None if there are none.
    """
    if not ledger.forgotten:
        return None
    position = f"[{', '.join(map(str, ledger.forgotten))}]::BIGINT[]"
    candidate = f"_reason IS NULL AND _op NOT IN ('m', 't') AND _partition <> {literal(UNPLACED)} AND _sequence <= {position}"
    partitions = cursor.execute(f"SELECT DISTINCT _partition FROM {staged} WHERE {candidate}").fetchall()
    if not partitions:
        return None
    keys = ", ".join(quote(name) for name in source.key)
    known = _known(store, source, ledger, {str(partition) for (partition,) in partitions})
    record = ", ".join(f"{literal(spec.name)}, {quote(spec.name)}" for spec in source.columns)
    cursor.execute(
        f"UPDATE {staged} SET _reason = {literal(_WHY)}, _record = coalesce(_record, json_object({record})::VARCHAR) "
        f"WHERE {candidate} AND (_partition, {keys}) NOT IN ({known})"
    )
    refused, which = cursor.execute(
        f"SELECT count(*), coalesce(sum(hash(file.key, {LINE}, {keys})), 0)::VARCHAR FROM {staged} AS record "
        f"JOIN {staged}_files AS file ON file.path = record._path WHERE _reason = {literal(_WHY)}"
    ).fetchone() or (0, "0")
    return fingerprint([ledger.forgettings, refused, which]) if refused else None


def _known(store: ObjectStore, source: Source, ledger: Ledger, partitions: set[str]) -> str:
    """Write the query of the keys in some partitions, each after its partition."""
    parts = [part for partition in sorted(partitions) for part in ledger.parts.get(partition, ())]
    rows = typed_rows(source, files_by_version((part.version, store.path(ledger.object_of(part))) for part in parts))
    partition = f"{quote(source.partition_column)}::VARCHAR" if source.partition_column else literal(WHOLE)
    return f"SELECT ({partition}, {', '.join(quote(name) for name in source.key)}) FROM ({rows})"
