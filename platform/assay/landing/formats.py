"""The landing formats a source may declare.

Belongs here: one frozen dataclass per format, with everything that must be declared about it. Does not belong here: reading
(the readers listed in `readers.registry`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from assay.errors import ContractError

Connector = Literal["postgresql", "mysql", "mariadb", "mongodb", "sqlserver", "db2", "oracle", "informix", "yashandb"]
TimePrecision = Literal["milliseconds", "microseconds", "nanoseconds"]
BinaryHandling = Literal["base64", "base64-url-safe", "hex"]
Encoding = Literal["text", "base64", "bits", "milliseconds", "microseconds", "nanoseconds"]


@dataclass(frozen=True)
class Debezium:
    """Debezium change events as JSON lines, as a sink of Kafka Connect or Debezium Server writes them.

    Envelopes, with or without their schema, flattened rows (`ExtractNewRecordState`) and CloudEvents are recognized record by
    record. A value's encoding is given by the schema in its message. Without a schema it follows from the declared type: integers
    in a `DATE` column are days; decimals and times are as declared here. ISO 8601 texts, numbers, and decimals that carry their
    scale are always understood. Values of `VARCHAR` columns are kept as sent. A MongoDB update that comes without its document
    changes the fields that it names; one that changes part of a declared value is quarantined.

    Attributes:
        table: The source table or collection that the events must be of (`source.table`); others are quarantined.
        connector: The kind of database, which determines how an event gives its position; events of others are quarantined.
        columns: Name in the event by column of the contract, where the two differ.
        decimals: What a string in a `DECIMAL` column is: digits (`decimal.handling.mode=string`), or base64 of the unscaled
            number (`precise`, which is Debezium's default) with the declared scale.
        time_precision: What integers in `TIMESTAMP`, `TIMESTAMP WITH TIME ZONE` and `TIME` columns count
            (`time.precision.mode`); without it they are quarantined.
        binary: How bytes are encoded (`binary.handling.mode`; `bytes` is base64).
        encodings: Encoding by column of the contract, where it differs from the rest; `bits` is for whole numbers.
        scales: The scale of base64 decimals at the source, by column of the contract, where it is not the declared one.
        placeholder: The text for a value that did not change and was not sent (`unavailable.value.placeholder`).
        updates: What a flattened MongoDB update contains, which the event itself does not show: the document, or only the fields
            that changed, as if `capture.mode` looks no documents up. Then each row must include its operation (`add.fields=op`).
    """

    table: str
    connector: Connector = "postgresql"
    columns: Mapping[str, str] = field(default_factory=dict)
    decimals: Literal["text", "base64"] = "text"
    time_precision: TimePrecision | None = None
    binary: BinaryHandling = "base64"
    encodings: Mapping[str, Encoding] = field(default_factory=dict)
    scales: Mapping[str, int] = field(default_factory=dict)
    placeholder: str = "__debezium_unavailable_value"
    updates: Literal["documents", "changes"] = "documents"
    name: Literal["debezium-json"] = "debezium-json"

    def __post_init__(self) -> None:
        if self.connector not in get_args(Connector):
            raise ContractError(
                f"Debezium({self.table!r}): the order of events of connector {self.connector!r} is not known",
                hint=f"use one of {', '.join(get_args(Connector))}",
            )
        if self.updates == "changes" and self.connector != "mongodb":
            raise ContractError(
                f"Debezium({self.table!r}): flattened updates of connector {self.connector!r} contain the whole row",
                hint="leave updates='changes' out",
            )


@dataclass(frozen=True)
class Unpivot:
    """A wide file read as one record per cell.

    Attributes:
        names: Column that takes the header of the cell.
        values: Column that takes the cell.
        missing: Texts of cells that are not records.
    """

    names: str
    values: str
    missing: tuple[str, ...] = ("", "N/A")


@dataclass(frozen=True)
class Snapshot:
    """How the full snapshots of a source are identified and known to be complete.

    A key that a complete snapshot lacks is deleted as of that snapshot's date. A snapshot is all objects of one date; the date is
    in the object's name or folder, never the time it was written. Snapshots may land in any order and repeatedly.

    Attributes:
        date: Regular expression over the object's key below the source's folder; the digits of its groups, joined, are the
            date (and time): year first, with the same number of digits for every object.
        marker: Name of the object that marks the snapshot of its date as complete, with `*` for any text, as in `_SUCCESS` or
            `*.done`. The date's objects wait until it exists.
        files: Without a marker: how many objects make a snapshot. While fewer of them are read without a rejected record, the
            snapshot's records are used and its absences mean nothing.
        share: Without a marker (and without a count in the files): a snapshot with a smaller share of the previous one's records
            counts as incomplete, and is rejected.
        accepted: Digits of dates whose snapshots are complete whatever their size, because somebody has checked.
    """

    date: str = r"(\d{4})-?(\d{2})-?(\d{2})"
    marker: str | None = None
    files: int = 1
    share: float = 0.5
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True)
class DateFormat:
    """How dates are written in some years' files.

    Attributes:
        text: A format of DuckDB's `strptime`, as in `%d/%m/%Y`; or `serial`: a spreadsheet's days since 1899-12-30.
        first: Digits of the first date in a file's name for which it applies, as in `2019` or `201903`; None for no lower bound.
        last: Digits of the last such date, inclusive: `2019` is all of that year; None for no upper bound.
    """

    text: str
    first: str | None = None
    last: str | None = None


@dataclass(frozen=True)
class Csv:
    """Delimited text with a header line, RFC 4180 quoting, gzipped or not; or the first sheet of an `.xlsx` workbook.

    Text is UTF-8, with or without a byte-order mark, or UTF-16 with one. Bytes that are not valid UTF-8 are read as
    Windows-1252, field by field.
    Every record is a snapshot read (`r`). A later version of the same key wins.

    Attributes:
        delimiter: One character; None to detect it in each file's header line, among comma, semicolon, tab and bar.
        columns: Header of the file by column of the contract, where the two differ; several if it changed over the years.
        version: Regular expression over the object's name; the digits of its first group order the files of one source
            (a date in the name, never the time it was written). If not declared, all files are of one version.
        unversioned: What happens to a file whose name has no such digits: it is rejected, or counts as older than all that have,
            like a file that everybody downloads under one name.
        versions: Whether those digits are dates or numbers. A date may be a year, which is older than its months, a month, which
            is older than its days, or a day. Dates with a time of day are numbers, if every name has as many digits.
        unpivot: How a wide file becomes records.
        nulls: Texts that mean null. An empty text means null in every column that is not text.
        quoted_nulls: Whether they also mean null within quotes.
        decimal: The decimal mark of numeric columns, a point or a comma.
        thousands: Characters that group digits by three in numeric columns; None for the default: none if the mark is a point;
            points, blanks and apostrophes if it is a comma.
        dates: Date formats by column of the contract. A value that two formats read as different dates is quarantined.
        trailer: Regular expression that the last line of every file matches; the digits of its first group are the number of
            records in the file. A file without it, or with another number of records, is incomplete, and is rejected.
        snapshot: Declares that the files of each date are a full snapshot; `version` is then not needed.
        sheet: Name of a workbook's sheet; by default the first.
    """

    delimiter: str | None = ","
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    version: str | None = None
    unversioned: Literal["refused", "oldest"] = "refused"
    versions: Literal["dates", "numbers"] = "dates"
    unpivot: Unpivot | None = None
    nulls: tuple[str, ...] = ("",)
    quoted_nulls: bool = True
    decimal: Literal[".", ","] = "."
    thousands: str | None = None
    dates: Mapping[str, tuple[str | DateFormat, ...]] = field(default_factory=dict)
    trailer: str | None = None
    snapshot: Snapshot | None = None
    sheet: str | None = None
    name: Literal["csv"] = "csv"


@dataclass(frozen=True)
class Explode:
    """Documents read as one record per element of one of their arrays.

    The newest document of a key determines which elements exist: elements of an older one that it lacks are deleted. So the key
    consists of the document's columns and the ordinal, and the version and the day use only the document's columns.

    Attributes:
        items: The array, as in `items` or `order.items`.
        ordinal: Column for the element's position in the array, from 1.
        parent: Fields of the document by column of the contract; all other columns are the element's.
    """

    items: str
    ordinal: str
    parent: Mapping[str, str]


@dataclass(frozen=True)
class JsonDocuments:
    """Nested JSON documents: one per line, one or several over many lines, elements of one array, or the records in responses.

    Every document is a snapshot read (`r`). A later version of the same key wins. Nested values are kept as JSON text, and
    numbers with all their digits.

    Attributes:
        version: DuckDB expression over the document's columns giving a BIGINT that orders documents of one key; required unless
            they are of snapshots. `_offset` in it is the offset of the record in its topic, which a sink writes into the envelope
            around it. If that is the version, a null document is a tombstone for its key; else it is a message.
        by_name: Orders documents, within one version if there is one, by the Kafka partition and first offset in the object's
            name and by line, for sinks that write no envelope. Without a version, a null document is a tombstone for its key.
        records: The path of a response's records, as in `data.items`: an array or one object. A file holds one response,
            or one per line.
        explode: How a document becomes several records.
        snapshot: Declares that the files of each date are a full snapshot.
        key_header: The header, in the envelope around a document, that holds the document's key if the document does not; the
            record's own key is then not used. Debezium's outbox router puts each message's id there (`id`), and a repeated
            message has the same.
    """

    version: str | None = None
    by_name: bool = False
    records: str | None = None
    explode: Explode | None = None
    snapshot: Snapshot | None = None
    key_header: str | None = None
    name: Literal["json-documents"] = "json-documents"

    def __post_init__(self) -> None:
        if self.version is None and self.snapshot is None and not self.by_name:
            raise ContractError(
                "JsonDocuments: nothing orders the documents of one key",
                hint="give version=, an expression over their columns; snapshot=, if each file is of a dated full snapshot; or "
                "by_name=True, if a Kafka Connect sink names the files",
            )
        if self.snapshot and self.by_name:
            raise ContractError(
                "JsonDocuments: files are either of dated snapshots or of a topic", hint="give snapshot= or by_name=, not both"
            )

    @property
    def ordinal(self) -> str | None:
        """The column with an element's position; None for snapshots, in which absence already deletes an element."""
        return self.explode.ordinal if self.explode and self.snapshot is None else None


@dataclass(frozen=True)
class Dms:
    """What AWS DMS writes to S3 for one table: full load and changes, as CSV or Parquet, gzipped or not.

    The files of the full load (`LOAD0000000A.csv`) and of changes (`20250103-101500123.csv`) are recognized by their names,
    including `CDC_TXN` files of many tables. The column `Op`, a header line and Parquet are detected file by file, because a
    task's settings change over the years. Changes are ordered by `change_sequence` if present, else by `timestamp`, file name and
    line; every record of a full load is older than every change.

    Attributes:
        table: The source table, as `table` or `schema.table`: its records are selected from files of many tables.
        layout: Columns of a file without header, in order and without `Op`, by the producer's names; by default `timestamp`, then
            the contract's columns. Columns that DMS appends later are kept with the undeclared ones.
        columns: The producer's name by column of the contract, where the two differ.
        timestamp: The endpoint's `TimestampColumnName`, UTC: when a change was committed, and when a row was loaded.
        change_sequence: Column that a transformation fills with `$AR_H_CHANGE_SEQ`.
        change_time: Column that a transformation fills with `$AR_H_TIMESTAMP`, UTC.
        change_operation: Column that a transformation fills with `$AR_H_OPERATION`; used if there is no `Op`.
        stream_position: Column that a transformation fills with `$AR_H_STREAM_POSITION`; not used for ordering.
        before: Prefix of before images. Those of the key show that a record's key has changed.
        nulls: Texts of a CSV file that mean null (`CsvNullValue`).
        not_provided: Text of a CSV file that means the value is unknown and stays what it was (`CsvNoSupValue`).
        delimiter: One character (`CsvDelimiter`).
    """

    table: str
    layout: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    timestamp: str | None = None
    change_sequence: str = "AR_H_CHANGE_SEQ"
    change_time: str = "AR_H_TIMESTAMP"
    change_operation: str = "AR_H_OPERATION"
    stream_position: str = "AR_H_STREAM_POSITION"
    before: str = "BI_"
    nulls: tuple[str, ...] = ("NULL",)
    not_provided: str | None = None
    delimiter: str = ","
    name: Literal["dms"] = "dms"


@dataclass(frozen=True)
class DmsJson:
    """What AWS DMS writes to Kafka or Kinesis, one JSON message per line as a sink stores them.

    Changes are ordered by their time and, within one, by the Kafka partition and offset in the object's name and by line; every
    record of a full load is older than every change. Control records are messages, not rows.

    Attributes:
        table: The source table, as `table` or `schema.table`; records of others are ignored, because one topic may hold many.
        columns: The producer's name by column of the contract, where the two differ.
        before: Prefix of before images, if they are among the columns. Those of the key show that a record's key has changed.
        omits_nulls: Whether the producer leaves null columns out (`IncludeNullAndEmpty` is false, which is its default): then an
            absent column is null, otherwise it is missing.
    """

    table: str
    columns: Mapping[str, str] = field(default_factory=dict)
    before: str = "BI_"
    omits_nulls: bool = True
    name: Literal["dms-json"] = "dms-json"
