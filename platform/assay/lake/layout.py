"""Where everything is in the lake: the one place that builds keys.

Belongs here: zones and the keys below them. Does not belong here: reading or writing objects.
"""

from __future__ import annotations

from datetime import datetime

from assay.contracts import WHOLE, Control, Source, Table
from assay.contracts.domain import DemoFile
from assay.contracts.periods import is_partition

LANDING = "landing"
RAW = "raw"
QUARANTINE = "quarantine"
AUDIT = "audit"
CONTROLS = "controls"
QUALITY = "quality"
PACKED = "packed"
DATA = "data.parquet"
UNPLACED = "unplaced"
"""The raw partition of events without the day they are about; placement copies them to the days of their keys."""
NOTED = "noted"
"""The raw partition of bare keys that placement must check when they occur again."""
TRUNCATES = "truncates"
"""The raw partition of events that empty the whole source: an input of every partition."""
COMPACTED = "compacted"
"""Takes the place of the ingestion date in the keys of raw objects that hold rows of several batches."""

EDITS = "_edits"
"""The folder of a source's landing zone that holds edited records. No producer writes to it."""


def landing_prefix(source: str) -> str:
    """Prefix of the objects that a source's producers write."""
    return f"{LANDING}/{source}/"


def edits_prefix(source: str) -> str:
    """Prefix of the edited records that have landed for a source."""
    return f"{landing_prefix(source)}{EDITS}/"


def edits_audit_prefix(source: str) -> str:
    """Prefix of the permanent copies of a source's edited records, which outlive the landing zone."""
    return f"{AUDIT}/edits/{source}/"


def dropped_prefix(table: str) -> str:
    """Prefix of the records of what was dropped from the quarantine of a table or source, given its full name."""
    return f"{AUDIT}/dropped/{table.replace('.', '/', 1)}/"


def demo_key(file: DemoFile) -> str:
    """Key of a file that a domain's demo produced: a landing object or a control file."""
    return f"{CONTROLS}/{file.name}" if file.source is None else landing_prefix(file.source) + file.name


def raw_prefix(source: str) -> str:
    """Prefix of a source's raw batches."""
    return f"{RAW}/{source}/"


def raw_part_key(source: Source, partition: str, ingestion_date: str, batch: str) -> str:
    """Key of the events of one batch that are about one partition."""
    return f"{RAW}/{source.name}/{_folder(source.partition_column, partition)}/{ingestion_date}/{batch}.parquet"


def raw_compacted_key(source: Source, partition: str, name: str) -> str:
    """Key of the events of several batches that are about one partition."""
    return raw_part_key(source, partition, COMPACTED, name)


def is_compacted(key: str) -> bool:
    """Whether a raw object was written by a compaction."""
    return key.split("/")[-2:-1] == [COMPACTED]


def raw_log_prefix(source: str) -> str:
    """Prefix of the log of a source's ingested batches."""
    return f"{AUDIT}/ingested/{source}/"


def raw_quarantine_key(source: str, batch: str) -> str:
    """Key of the records of one batch that could not be read."""
    return f"{QUARANTINE}/{RAW}/{source}/{batch}.parquet"


def messages_key(source: str, batch: str) -> str:
    """Key of the records of one batch that are messages instead of row changes."""
    return f"{AUDIT}/messages/{source}/{batch}.parquet"


def table_prefix(table: Table) -> str:
    """Prefix of a table's published partitions."""
    return f"{table.layer}/{table.name}/"


def partition_key(table: Table, partition: str) -> str:
    """Key of the one object that is a published partition."""
    folder = "" if partition == WHOLE else f"{_folder(table.partition_column, partition)}/"
    return f"{table_prefix(table)}{folder}{DATA}"


def partition_of(table: Table, key: str) -> str | None:
    """The partition whose object has this key; None for a key that is not one under the table's current partitioning."""
    rest = key.removeprefix(table_prefix(table))
    if table.partition_column is None:
        return WHOLE if rest == DATA else None
    folder, _, name = rest.partition("/")
    column, equals, partition = folder.partition("=")
    is_own = equals and column == table.partition_column and name == DATA
    return partition if is_own and is_partition(table.grain, partition) else None


def packs_prefix(table: Table) -> str:
    """Prefix of the copies of a table's small partitions, a month in one object."""
    return f"{PACKED}/{table_prefix(table)}"


def pack_key(table: Table, month: str, name: str) -> str:
    """Key of a copy of a month's partitions."""
    return f"{packs_prefix(table)}{month}-{name}.parquet"


def packs_index_key(table: Table) -> str:
    """Key of the list of a table's packs."""
    return f"{packs_prefix(table)}index.json"


def quarantine_key(table: Table, partition: str, inputs: str) -> str:
    """Key of the rows of one partition that were quarantined when it was computed from these inputs."""
    folder = partition_key(table, partition).removesuffix(DATA)
    return f"{QUARANTINE}/{folder}{inputs}.parquet"


def index_key(table: Table) -> str:
    """Key of the index of a table's published partitions."""
    return f"{AUDIT}/published/{table.layer}/{table.name}.json"


def held_prefix() -> str:
    """Prefix of the lists of landing objects that are held back."""
    return f"{AUDIT}/held/"


def held_key(source: str) -> str:
    """Key of the list of landing objects that are held back from a source."""
    return f"{held_prefix()}{source}.json"


def failures_prefix() -> str:
    """Prefix of the records of partitions that failed their proof."""
    return f"{AUDIT}/failed/"


def failures_key(table: Table) -> str:
    """Key of the record of a table's partitions that failed their proof."""
    return f"{failures_prefix()}{table.layer}/{table.name}.json"


def quality_prefix(relation: str) -> str:
    """Prefix of Assay's own findings about tables, given the relation that they are read as (`quality.<relation>`)."""
    return f"{QUALITY}/{relation}/"


def quality_key(relation: str, table: Table) -> str:
    """Key of the part of such a relation about one table."""
    return f"{quality_prefix(relation)}{table.layer}/{table.name}.parquet"


def reports_prefix() -> str:
    """Prefix of the daily quality reports."""
    return f"{QUALITY}/reports/"


def report_key(day: str) -> str:
    """Key of the quality report of a day."""
    return f"{reports_prefix()}{day}.html"


def latest_report_key() -> str:
    """Key of the newest quality report, whatever its day."""
    return report_key("latest")


def proofs_prefix() -> str:
    """Prefix of the history of proofs."""
    return quality_prefix("proofs")


def proofs_runs_prefix() -> str:
    """Prefix of the proofs of single runs."""
    return f"{proofs_prefix()}runs/"


def proofs_run_key(at: datetime, name: str) -> str:
    """Key of the proofs of a table by one run."""
    return f"{proofs_runs_prefix()}{at:%Y%m%dT%H%M%S%f}-{name}.parquet"


def proofs_months_prefix() -> str:
    """Prefix of all merged proofs."""
    return f"{proofs_prefix()}months/"


def proofs_parts_prefix(month: str) -> str:
    """Prefix of the merged proofs of a month."""
    return f"{proofs_months_prefix()}{month}-"


def proofs_part_key(month: str, number: int) -> str:
    """Key of one of the objects with the merged proofs of a month."""
    return f"{proofs_parts_prefix(month)}{number:04}.parquet"


def control_key(relation: str, control: Control) -> str:
    """Key of the part of such a relation about one control."""
    return f"{quality_prefix(relation)}{control.table.replace('.', '/', 1)}/{control.name}.parquet"


def restatements_prefix(table: Table) -> str:
    """Prefix of the earlier content of a table's partitions, as far as it changed."""
    return f"{quality_prefix('restatements')}{table.layer}/{table.name}/"


def restatement_prefix(table: Table, partition: str, version: str) -> str:
    """Prefix of the content of one version of a partition that was, or was to be, replaced."""
    return f"{restatements_prefix(table)}{partition}-{version}-"


def restatement_key(table: Table, partition: str, version: str, by: str) -> str:
    """Key of the content of a partition's version that one run kept, given the run's name."""
    return f"{restatement_prefix(table, partition, version)}{by}.parquet"


def merged_restatements_prefix(table: Table | None = None) -> str:
    """Prefix of the merged objects with restatements, of a table or of all."""
    return f"{quality_prefix('restatements')}merged/" + (f"{table.layer}/{table.name}/" if table else "")


def merged_restatements_key(table: Table, name: str) -> str:
    """Key of one of them."""
    return f"{merged_restatements_prefix(table)}{name}.parquet"


def merged_restatements_index_key() -> str:
    """Key of the list of them."""
    return f"{merged_restatements_prefix()}index.json"


def _folder(column: str | None, partition: str) -> str:
    return partition if column is None or partition in (WHOLE, UNPLACED, NOTED, TRUNCATES) else f"{column}={partition}"
