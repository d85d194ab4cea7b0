"""The base classes of the Pandera models that contracts are written as.

Belongs here: the base classes every contract inherits from and `column`, the one way to describe a column. Does not
belong here: a table's key, partition and owner (`table`, `source`).
"""

from __future__ import annotations

from typing import Any, Literal

import pandera.ibis as pa

from assay.contracts.types import Timestamp

Pii = Literal["name", "email", "phone", "address", "birth_date", "identifier", "free_text"]


def column(
    description: str,
    *,
    unit: str | None = None,
    pii: Pii | None = None,
    nullable: bool = False,
    **checks: Any,
) -> Any:
    """Describe one column.

    Args:
        description: What the value means, in words an analyst understands.
        unit: The unit of the value, as in `USD` or `days`.
        pii: The kind of personal information the column holds; masks and erasure follow it.
        nullable: Whether the value may be null. A column that is not nullable gets a `<column>_required` rule.
        **checks: Pandera's own built-in checks, as in `ge=0` or `isin=["USD"]`.

    Returns:
        A Pandera field.
    """
    metadata = {"unit": unit, "pii": pii}
    return pa.Field(description=description, nullable=nullable, metadata=metadata, **checks)


class Contract(pa.DataFrameModel):
    """What a table promises: its columns, their types and the rules every row keeps."""


class Event(Contract):
    """Base of raw contracts: the columns a producer sends. Its columns are declared nullable unless null is an error."""


class Published(Contract):
    """Base of enriched and mart contracts: the columns that give every published row's origin.

    The engine adds the three that describe the run and the proof (`RUN_COLUMNS`); the SQL gives the two below, because only
    it knows which event a row came from.
    """

    ingestion_timestamp: Timestamp = column("When the newest event behind this row was landed, UTC")
    data_source: str = column("The source, or comma-separated sources, this row came from")


RUN_COLUMNS = {
    "processing_timestamp": "TIMESTAMP WITH TIME ZONE",
    "job_run_id": "VARCHAR",
    "data_quality_score": "DOUBLE",
}
"""Columns the engine adds when it publishes. The content hash leaves out the first two, which describe the run."""

RUN_COLUMN_DESCRIPTIONS = {
    "processing_timestamp": "When this row was published, UTC",
    "job_run_id": "The Dagster run that published this row",
    "data_quality_score": "Share of the partition's rows that broke no rule but such that only warn, 0 to 100",
}

EVENT_COLUMNS = {
    "_op": "VARCHAR",
    "_sequence": "BIGINT[]",
    "_source_timestamp": "TIMESTAMP WITH TIME ZONE",
    "_about": "DATE",
    "_ingested_at": "TIMESTAMP WITH TIME ZONE",
    "_source": "VARCHAR",
    "_landing_object": "VARCHAR",
    "_landing_row": "BIGINT",
    "_missing": "VARCHAR[]",
    "_unchanged": "VARCHAR[]",
    "_rescued": "VARCHAR",
    "_money": "DECIMAL(38,4)",
}
"""Columns that every raw change event has besides the producer's."""

EVENT_COLUMN_DESCRIPTIONS = {
    "_op": "What happened: c create, u update, d delete, r snapshot read, t truncate",
    "_sequence": "The event's position at its source; later is larger, compared number by number",
    "_source_timestamp": "When the source says the change was made, UTC; never an ordering key",
    "_about": "The day that the event is about, as it says itself (null if it names only its key, or its source has no days)",
    "_ingested_at": "When the landing object was written, UTC",
    "_source": "The source the event was landed under",
    "_landing_object": "Key of the landing object the event was read from",
    "_landing_row": "Line of the record in its landing object, from 1, blank lines not counted",
    "_missing": "Declared columns that the record does not have (null when it has all)",
    "_unchanged": "Declared columns that the producer says did not change, without sending them (null when there are none)",
    "_rescued": "JSON object of columns that the contract does not declare (null when there are none)",
    "_money": "The event's amount as the books count it",
}
